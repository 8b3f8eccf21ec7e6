// SPDX-License-Identifier: Apache-2.0
// Tests of atomic writing.
#include <limbeck/core/file.h>

#include <limbeck/tests/device_test.h>
#include <limbeck/tests/temporary_folder.h>

namespace limbeck::testing {
namespace {

void write(const std::string& path, const std::vector<std::string_view>& parts) {
  write_file_atomically(path, parts);
}

TEST(File, PartsFollowEachOtherAndNothingElseIsLeft) {
  const TemporaryFolder folder;
  write(folder.file("a"), {"one ", "", "two"});
  EXPECT_EQ(read_text(folder.file("a")), "one two");
  write(folder.file("a"), {});
  EXPECT_EQ(read_text(folder.file("a")), "");
  EXPECT_EQ(folder.names(), std::vector<std::string>{"a"});
}

TEST(File, ReplacesTheOldFile) {
  const TemporaryFolder folder;
  write(folder.file("a"), {"a long old text"});
  write_text(folder.file("a.tmp"), "left behind by a killed run");
  write(folder.file("a"), {"new"});
  EXPECT_EQ(read_text(folder.file("a")), "new");
  EXPECT_EQ(folder.names(), std::vector<std::string>{"a"});
}

TEST(File, FullDiskLeavesTheOldFile) {
  const TemporaryFolder folder;
  write(folder.file("a"), {"old"});
  const std::string large(100000, 'x');
  {
    const FileSizeLimit limit(4096);
    expect_error<IoError>(
        [&] {
          write(folder.file("a"), {"head", large});
        },
        folder.file("a.tmp") + ": cannot write: File too large");
  }
  EXPECT_EQ(read_text(folder.file("a")), "old");
  EXPECT_EQ(folder.names(), std::vector<std::string>{"a"});
}

TEST(File, UnusablePlaces) {
  const TemporaryFolder folder;
  expect_error<IoError>([&] { write(folder.file("none/a"), {"x"}); },
                        "none/a.tmp: cannot create: No such file or directory");
  std::filesystem::create_directory(folder.file("taken"));
  expect_error<IoError>([&] { write(folder.file("taken"), {"x"}); },
                        "taken: cannot replace: Is a directory");
  EXPECT_EQ(folder.names(), std::vector<std::string>{"taken"});
}

TEST(File, AMappedFileIsReadAndNeverWritten) {
  const TemporaryFolder folder;
  write(folder.file("a"), {"head", "tail"});
  MappedFile file = map_file(folder.file("a"));
  ASSERT_EQ(file.size, 8u);
  EXPECT_EQ(std::string_view(file.data.get(), 8), "headtail");
  file.data.get()[0] = 'x';
  EXPECT_EQ(read_text(folder.file("a")), "headtail");
  write(folder.file("a"), {"other"});  // the map keeps the file that it opened
  EXPECT_EQ(std::string_view(file.data.get(), 8), "xeadtail");
  write(folder.file("empty"), {});
  EXPECT_EQ(map_file(folder.file("empty")).data, nullptr);
  expect_error<IoError>([&] { map_file(folder.file("none")); }, "none: cannot open: No such file");
  expect_error<IoError>([&] { map_file(folder.file("")); }, "cannot open: not a regular file");
}

}  // namespace
}  // namespace limbeck::testing
