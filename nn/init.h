// SPDX-License-Identifier: Apache-2.0
// Initial weights, drawn from the counter RNG.
#pragma once

#include <cstdint>

#include <limbeck/core/philox.h>
#include <limbeck/nn/module.h>

namespace limbeck {

/// With fan_in = inputs per output and fan_out = outputs per input (times the kernel's cells):
/// torch_default: U(-b,b), b = 1/sqrt(fan_in), biases too: what PyTorch does for Linear and Conv2d.
/// kaiming (He et al. 2015, for relu): variance 2/fan_in. xavier (Glorot and Bengio 2010): variance
/// 2/(fan_in + fan_out). Both as U or as N, biases 0.
enum class Init { torch_default, kaiming_uniform, kaiming_normal, xavier_uniform, xavier_normal };

/// Overwrites all parameters, each by its InitKind. Numbers are drawn on the CPU, for parameter i
/// from the stream {seed, step 0, layer i, RngPurpose::init}, then copied: the same bits on every
/// device and machine.
void initialize(Module& module, Init init, std::uint64_t seed);

/// t_i = bound (2 u_i - 1), any floating dtype and device; written. u_i is word i as a float.
void fill_uniform(Tensor& t, double bound, const RngStream& stream);
/// t_i normal with mean 0 and the given deviation (Box and Muller 1958 on words 2k, 2k+1; |t_i| <
/// 5.8 stddev); otherwise as fill_uniform.
void fill_normal(Tensor& t, double stddev, const RngStream& stream);

}  // namespace limbeck
