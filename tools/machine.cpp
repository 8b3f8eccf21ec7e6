// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/machine.h>

#include <limbeck/core/error.h>
#include <limbeck/core/math_mode.h>
#include <limbeck/core/parallel.h>
#include <limbeck/core/simd.h>

namespace limbeck {

Device use_machine(const MachineOptions& options) {
  LIMBECK_CHECK(options.math == "exact" || options.math == "fast", "--math ", options.math,
                ": unknown mode; expected exact or fast");
  LIMBECK_CHECK(options.threads >= 0, "--threads ", options.threads, ": expected at least 1");
  set_math_mode(options.math == "fast" ? MathMode::fast : MathMode::exact);
  if (options.threads > 0) set_num_threads(options.threads);
  const int gpus = cuda_device_count();
  if (options.device == "auto") return gpus > 0 ? Device::cuda() : Device::cpu();
  const Device device = Device::parse(options.device);
  if (device.is_cuda() && device.index() >= gpus)
    throw CudaError(
        detail::concat("--device ", options.device, ": there is no such GPU; ", gpus, " found"));
  return device;
}

nlohmann::json describe_machine(Device device) {
  return {{"device", device.str()},
          {"device_name", device_name(device)},
          {"threads", num_threads()},
          {"math", math_mode() == MathMode::fast ? "fast" : "exact"},
          {"isa", cpu_isa_name(cpu_isa())}};
}

}  // namespace limbeck
