// SPDX-License-Identifier: Apache-2.0
// The two 16-bit floating types: storage only, arithmetic is done in float. Assigning a float
// rounds it; loops of such assignments vectorise, those of constructed temporaries do not.
#pragma once

#include <cstdint>

#include <limbeck/core/host_device.h>

namespace limbeck {

/// bfloat16: the upper half of a float, rounded to nearest even. NaN stays NaN.
struct BFloat16 {
  std::uint16_t bits = 0;

  BFloat16() = default;
  LIMBECK_HD explicit BFloat16(float x) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900  // one instruction, but for a NaN's payload
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(x));
#else
    const std::uint32_t u = __builtin_bit_cast(std::uint32_t, x);
    const bool nan = (u & 0x7fffffffu) > 0x7f800000u;
    const std::uint32_t rounded = u + 0x7fffu + ((u >> 16) & 1u);
    bits = static_cast<std::uint16_t>(nan ? (u >> 16) | 0x40u : rounded >> 16);
#endif
  }
  LIMBECK_HD BFloat16& operator=(float x) {
    bits = BFloat16(x).bits;
    return *this;
  }
  LIMBECK_HD operator float() const {
    return __builtin_bit_cast(float, static_cast<std::uint32_t>(bits) << 16);
  }
};

/// IEEE binary16, rounded to nearest even, with subnormals. NaN stays NaN.
struct Float16 {
  std::uint16_t bits = 0;

  Float16() = default;
  LIMBECK_HD explicit Float16(float x) {
#ifdef __CUDA_ARCH__  // the same in one instruction, but for a NaN's payload
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(x));
#else
    const std::uint32_t u = __builtin_bit_cast(std::uint32_t, x);
    const std::uint32_t sign = (u >> 16) & 0x8000u;
    const std::uint32_t a = u & 0x7fffffffu;
    std::uint32_t h;
    if (a > 0x7f800000u) {
      h = 0x7e00u;
    } else if (a >= 0x477ff000u) {  // rounds to 2^16 or more
      h = 0x7c00u;
    } else if (a < 0x38800000u) {  // subnormal: let the float adder round at bit 2^-24
      h = __builtin_bit_cast(std::uint32_t, __builtin_bit_cast(float, a) + 0.5f) - 0x3f000000u;
    } else {
      h = (a - 0x38000000u + 0xfffu + ((a >> 13) & 1u)) >> 13;
    }
    bits = static_cast<std::uint16_t>(sign | h);
#endif
  }
  LIMBECK_HD Float16& operator=(float x) {
    bits = Float16(x).bits;
    return *this;
  }
  LIMBECK_HD operator float() const {
#ifdef __CUDA_ARCH__
    float x;
    asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(bits));
    return x;
#else
    const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000u) << 16;
    const std::uint32_t exponent = (bits >> 10) & 0x1fu;
    const std::uint32_t mantissa = bits & 0x3ffu;
    if (exponent == 0x1fu) return __builtin_bit_cast(float, sign | 0x7f800000u | (mantissa << 13));
    if (exponent == 0) {
      const float tiny = static_cast<float>(mantissa) * 0x1p-24f;
      return sign ? -tiny : tiny;
    }
    return __builtin_bit_cast(float, sign | ((exponent + 112u) << 23) | (mantissa << 13));
#endif
  }
};

}  // namespace limbeck
