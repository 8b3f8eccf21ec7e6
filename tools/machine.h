// SPDX-License-Identifier: Apache-2.0
// Where and how to compute, as the command line says it.
#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include <limbeck/core/device.h>

namespace limbeck {

struct MachineOptions {
  std::string device = "auto";  ///< auto (the first GPU, else the CPU), cpu, cuda, cuda:<i>
  int threads = 0;              ///< 0: as many as the process may use
  std::string math = "exact";   ///< exact or fast
};

/// Sets threads and math mode and returns the device. Throws std::invalid_argument for a word it
/// does not know and CudaError for a GPU that is not there.
Device use_machine(const MachineOptions& options);

/// The settings in use, and what they run on: device, device_name, threads, math, isa.
nlohmann::json describe_machine(Device device);

}  // namespace limbeck
