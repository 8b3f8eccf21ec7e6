// SPDX-License-Identifier: Apache-2.0
// Element types of a tensor.
#pragma once

#include <cstddef>
#include <cstdint>
#include <ostream>
#include <string_view>
#include <type_traits>

#include <limbeck/core/error.h>
#include <limbeck/core/half.h>

namespace limbeck {

enum class DType : std::uint8_t { f32, f64, bf16, f16, i32, i64, u8 };

std::size_t dtype_size(DType dtype);       ///< bytes per element
std::string_view dtype_name(DType dtype);  ///< "f32", "bf16", ...
DType parse_dtype(std::string_view name);  ///< throws std::invalid_argument
bool is_floating(DType dtype);             ///< f32, f64, bf16, f16
std::ostream& operator<<(std::ostream& out, DType dtype);

/// The DType of a C++ element type.
template <class T>
constexpr DType dtype_of() {
  if constexpr (std::is_same_v<T, float>)
    return DType::f32;
  else if constexpr (std::is_same_v<T, double>)
    return DType::f64;
  else if constexpr (std::is_same_v<T, BFloat16>)
    return DType::bf16;
  else if constexpr (std::is_same_v<T, Float16>)
    return DType::f16;
  else if constexpr (std::is_same_v<T, std::int32_t>)
    return DType::i32;
  else if constexpr (std::is_same_v<T, std::int64_t>)
    return DType::i64;
  else {
    static_assert(std::is_same_v<T, std::uint8_t>, "not an element type");
    return DType::u8;
  }
}

template <class T>
struct TypeTag {
  using type = T;
};

/// Calls fn(TypeTag<T>{}) with the C++ type of any dtype.
template <class Fn>
decltype(auto) visit_dtype(DType dtype, Fn&& fn) {
  switch (dtype) {
    case DType::f32:
      return fn(TypeTag<float>{});
    case DType::f64:
      return fn(TypeTag<double>{});
    case DType::bf16:
      return fn(TypeTag<BFloat16>{});
    case DType::f16:
      return fn(TypeTag<Float16>{});
    case DType::i32:
      return fn(TypeTag<std::int32_t>{});
    case DType::i64:
      return fn(TypeTag<std::int64_t>{});
    case DType::u8:
      return fn(TypeTag<std::uint8_t>{});
  }
  throw std::invalid_argument("visit_dtype: unknown dtype");
}

/// As visit_dtype, for f32, f64, bf16 and f16; throws std::invalid_argument for the others.
template <class Fn>
decltype(auto) visit_floating(DType dtype, Fn&& fn) {
  switch (dtype) {
    case DType::f32:
      return fn(TypeTag<float>{});
    case DType::f64:
      return fn(TypeTag<double>{});
    case DType::bf16:
      return fn(TypeTag<BFloat16>{});
    case DType::f16:
      return fn(TypeTag<Float16>{});
    default:
      throw std::invalid_argument(detail::concat("dtype ", dtype, "; expected a floating dtype"));
  }
}

/// The type arithmetic on T is done in: double for double, float otherwise.
template <class T>
using ComputeType = std::conditional_t<std::is_same_v<T, double>, double, float>;

}  // namespace limbeck
