// SPDX-License-Identifier: Apache-2.0
#include <limbeck/core/device.h>

#include <charconv>
#include <fstream>

#include <limbeck/core/backend.h>
#include <limbeck/core/device_work.h>
#include <limbeck/core/error.h>

namespace limbeck {
namespace {

std::string cpu_model() {
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line);)
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  return "cpu";
}

}  // namespace

Device Device::parse(std::string_view text) {
  if (text == "cpu") return cpu();
  if (text == "cuda") return cuda(0);
  if (text.starts_with("cuda:")) {
    int index = -1;
    const char* end = text.data() + text.size();
    const auto result = std::from_chars(text.data() + 5, end, index);
    if (result.ec == std::errc() && result.ptr == end && index >= 0) return cuda(index);
  }
  throw std::invalid_argument(detail::concat("device '", text, "'; expected cpu, cuda or cuda:N"));
}

std::string Device::str() const { return is_cuda() ? "cuda:" + std::to_string(index_) : "cpu"; }

std::ostream& operator<<(std::ostream& out, Device device) { return out << device.str(); }

int cuda_device_count() { return backend::device_count(); }

std::string device_name(Device device) {
  return device.is_cuda() ? backend::device_name(device.index()) : cpu_model();
}

void synchronize(Device device) {
  if (!device.is_cuda()) return;
  detail::count_wait();
  backend::synchronize(device.index());
}

}  // namespace limbeck
