// SPDX-License-Identifier: Apache-2.0
#include <limbeck/core/dtype.h>

#include <array>

namespace limbeck {
namespace {

constexpr std::array<std::string_view, 7> kNames = {"f32", "f64", "bf16", "f16",
                                                    "i32", "i64", "u8"};
constexpr std::array<std::size_t, 7> kSizes = {4, 8, 2, 2, 4, 8, 1};

}  // namespace

std::size_t dtype_size(DType dtype) { return kSizes[static_cast<std::size_t>(dtype)]; }

std::string_view dtype_name(DType dtype) { return kNames[static_cast<std::size_t>(dtype)]; }

DType parse_dtype(std::string_view name) {
  for (std::size_t i = 0; i < kNames.size(); ++i)
    if (kNames[i] == name) return static_cast<DType>(i);
  throw std::invalid_argument(
      detail::concat("dtype '", name, "'; expected f32, f64, bf16, f16, i32, i64 or u8"));
}

bool is_floating(DType dtype) { return dtype <= DType::f16; }

std::ostream& operator<<(std::ostream& out, DType dtype) { return out << dtype_name(dtype); }

}  // namespace limbeck
