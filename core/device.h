// SPDX-License-Identifier: Apache-2.0
// Device: where a tensor lives and where work on it runs.
#pragma once

#include <ostream>
#include <string>
#include <string_view>

namespace limbeck {

/// The CPU or one CUDA GPU. In a build with the emulated GPU, cuda(0) runs on the host.
class Device {
 public:
  constexpr Device() = default;
  static constexpr Device cpu() { return Device(); }
  static constexpr Device cuda(int index = 0) { return Device(index); }
  /// "cpu", "cuda" or "cuda:1". Throws std::invalid_argument.
  static Device parse(std::string_view text);

  constexpr bool is_cuda() const { return index_ >= 0; }
  constexpr int index() const { return index_ < 0 ? 0 : index_; }
  std::string str() const;
  friend constexpr bool operator==(Device, Device) = default;

 private:
  constexpr explicit Device(int index) : index_(index) {}
  int index_ = -1;  // -1 is the CPU
};

std::ostream& operator<<(std::ostream& out, Device device);

/// Number of GPUs that cuda(i) can name: 0 in a build without CUDA or on a machine without a GPU.
int cuda_device_count();
/// Name of the device for reports, e.g. the CPU's or GPU's model.
std::string device_name(Device device);
/// Waits until all work queued on the device is done; a no-op on the CPU. Throws CudaError.
void synchronize(Device device);

}  // namespace limbeck
