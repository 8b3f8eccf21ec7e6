// SPDX-License-Identifier: Apache-2.0
#include <limbeck/core/file.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <utility>

#include <limbeck/core/error.h>

namespace limbeck {
namespace {

[[noreturn]] void fail(const std::string& path, const char* action) {
  throw IoError(detail::concat(path, ": cannot ", action, ": ", std::strerror(errno)));
}

/// An open file descriptor that closes itself.
class Descriptor {
 public:
  Descriptor(const std::string& path, int flags) : fd_(::open(path.c_str(), flags, 0666)) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  /// Closes now, because close may report a write that failed late.
  bool close() { return ::close(std::exchange(fd_, -1)) == 0; }

 private:
  int fd_;
};

bool write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written > 0)
      bytes.remove_prefix(static_cast<std::size_t>(written));
    else if (written == 0 || errno != EINTR)
      return false;
  }
  return true;
}

void write_and_sync(const std::string& path, std::span<const std::string_view> parts) {
  Descriptor file(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC);
  if (file.get() < 0) fail(path, "create");
  for (const std::string_view part : parts)
    if (!write_all(file.get(), part)) fail(path, "write");
  if (::fsync(file.get()) != 0 || !file.close()) fail(path, "write");
}

/// The rename itself is on disk only when the folder is. Some file systems cannot sync a folder;
/// the file is complete all the same.
void sync_folder_of(const std::string& path) {
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  const Descriptor descriptor(folder.empty() ? "." : folder.string(),
                              O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor.get() >= 0) ::fsync(descriptor.get());
}

}  // namespace

void write_file_atomically(const std::string& path, std::span<const std::string_view> parts) {
  const std::string temporary = path + ".tmp";
  try {
    write_and_sync(temporary, parts);
    if (std::rename(temporary.c_str(), path.c_str()) != 0) fail(path, "replace");
  } catch (const IoError&) {
    ::unlink(temporary.c_str());
    throw;
  }
  sync_folder_of(path);
}

MappedFile map_file(const std::string& path) {
  const Descriptor file(path, O_RDONLY | O_CLOEXEC);
  struct stat status;
  if (file.get() < 0 || ::fstat(file.get(), &status) != 0) fail(path, "open");
  if (!S_ISREG(status.st_mode)) throw IoError(path + ": cannot open: not a regular file");
  const auto size = static_cast<std::size_t>(status.st_size);
  if (size == 0) return {};
  void* at = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, file.get(), 0);
  if (at == MAP_FAILED) fail(path, "map");
  return {{static_cast<char*>(at), [size](char* data) { ::munmap(data, size); }}, size};
}

}  // namespace limbeck
