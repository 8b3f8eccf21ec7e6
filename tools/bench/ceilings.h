// SPDX-License-Identifier: Apache-2.0
// What this machine can do at best, measured in the same run as the kernels, and what that means
// for a call.
#pragma once

#include <string>
#include <vector>

#include <limbeck/core/device.h>
#include <limbeck/core/dtype.h>

namespace limbeck {

/// What one call must read, write and compute at least, from its contract; 0 is left out of the
/// comparison.
struct Work {
  double bytes = 0;
  double flops = 0;
  double exps = 0;             ///< exponentials
  DType product = DType::f32;  ///< dtype of the matrix products that the flops are in
};

/// Bytes per second of c = a + b where a, b and c have so many bytes together.
struct StreamPoint {
  double working_set = 0;
  double bytes_per_second = 0;
};

/// 0 and empty stand for not measured.
struct Ceilings {
  std::vector<StreamPoint> stream{};  ///< by working set, rising; rates fall
  double copy = 0;                    ///< bytes per second read and written, outside the caches
  double fma = 0;                     ///< CPU: f32 FLOP/s of fused multiply-adds in registers
  double product_f32 = 0;             ///< FLOP/s of matmul on random data
  double product_bf16 = 0;
  double exp = 0;  ///< CPU: math::exp per second on data in the first cache

  /// Bytes per second for a working set, between the two nearest that were measured.
  double stream_at(double working_set) const;
};

/// With the threads, the instruction set and the math mode in use. Takes a few seconds. Nothing is
/// measured on an emulated GPU.
Ceilings measure_ceilings(Device device);

/// The least time that the work can take, and what it is spent on.
struct Roofline {
  double seconds = 0;  ///< 0: nothing is known
  std::string limit;   ///< bandwidth, product or exp
};
Roofline roofline(const Work& work, double working_set, const Ceilings& ceilings);

/// One line of each ceiling that was measured, in units for people.
std::string describe(const Ceilings& ceilings, Device device);

}  // namespace limbeck
