// SPDX-License-Identifier: Apache-2.0
// Internal: what Tensor::to(DType) does.
#pragma once

#include <type_traits>

#include <limbeck/core/tensor.h>

namespace limbeck {

/// x as a Dst: halves from and to other types by way of float, each rounding to nearest even.
template <class Dst, class Src>
Dst convert(Src x) {
  if constexpr (std::is_same_v<Dst, Src>)
    return x;
  else if constexpr (std::is_same_v<Src, BFloat16> || std::is_same_v<Src, Float16>)
    return convert<Dst>(static_cast<float>(x));
  else if constexpr (std::is_same_v<Dst, BFloat16> || std::is_same_v<Dst, Float16>)
    return Dst(static_cast<float>(x));
  else
    return static_cast<Dst>(x);
}

// y = x, converted and written; two dtypes, one shape, one device. The same bits on every device.
// On a GPU f32, bf16 and f16 are converted there, and the others on the host.
namespace cpu {
void cast(Tensor& y, const Tensor& x);
}
namespace cuda {
void cast(Tensor& y, const Tensor& x);
}

}  // namespace limbeck
