// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tests/simt/library.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <numeric>

#include <limbeck/core/error.h>
#include <limbeck/tests/simt/memory.h>

namespace limbeck::simt {

using limbeck::detail::concat;

namespace {

std::string list(const std::vector<std::int64_t>& values) {
  std::string text;
  for (const std::int64_t v : values) text += (text.empty() ? "(" : ",") + std::to_string(v);
  return text + ")";
}

/// Whether every stride reaches beyond all that the smaller ones span.
bool elements_are_apart(const Operand& o) {
  std::vector<std::size_t> order(o.extents.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::sort(order, {}, [&](std::size_t i) { return o.strides[i]; });
  std::int64_t span = 1;
  for (const std::size_t i : order) {
    if (o.extents[i] == 1) continue;
    if (o.strides[i] < span) return false;
    span += (o.extents[i] - 1) * o.strides[i];
  }
  return true;
}

/// visit(offset, bytes) of all neighbours in memory, in the order of the extents.
template <class Visit>
void for_each_run(const Operand& o, Visit visit) {
  std::size_t outer = o.extents.size();
  std::int64_t run = 1;
  while (outer > 0 && (o.strides[outer - 1] == run || o.extents[outer - 1] == 1))
    run *= o.extents[--outer];
  const std::size_t size = dtype_size(o.dtype);
  std::vector<std::int64_t> index(outer, 0);
  for (std::size_t i = outer + 1; i > 0;) {
    const std::int64_t at =
        std::inner_product(index.begin(), index.end(), o.strides.begin(), std::int64_t{0});
    visit(static_cast<std::size_t>(at) * size, static_cast<std::size_t>(run) * size);
    for (i = outer; i > 0 && ++index[i - 1] == o.extents[i - 1]; --i) index[i - 1] = 0;
  }
}

}  // namespace

void Operand::check(std::size_t alignment) const {
  const auto require = [&](bool condition, const auto&... rule) {
    if (!condition)
      throw CudaError(concat(call, ": ", name, " is ", str(), " at ", p, "; expected ", rule...));
  };
  require(
      std::ranges::min(extents) >= 1 && std::ranges::min(strides) >= 1 && elements_are_apart(*this),
      "extents from 1, and strides that keep elements apart");
  require(reinterpret_cast<std::uintptr_t>(p) % alignment == 0, "a multiple of ", alignment,
          " as the address");
  require(find_allocation(p).contains(p, bytes()), "all of it in one live device allocation");
}

std::size_t Operand::bytes() const {
  std::int64_t last = 0;
  for (std::size_t i = 0; i < extents.size(); ++i) last += (extents[i] - 1) * strides[i];
  return static_cast<std::size_t>(last + 1) * dtype_size(dtype);
}

std::string Operand::str() const {
  return concat(dtype, list(extents), " with strides ", list(strides));
}

Tensor Operand::gather() const {
  Tensor packed = Tensor::empty(Shape(std::span<const std::int64_t>(extents)), dtype);
  char* to = static_cast<char*>(packed.raw());
  const DeviceMemoryAccess open;
  for_each_run(*this, [&](std::size_t offset, std::size_t run) {
    std::memcpy(to, static_cast<const char*>(p) + offset, run);
    to += run;
  });
  return packed;
}

void Operand::scatter(const Tensor& packed) const {
  const char* from = static_cast<const char*>(packed.raw());
  const DeviceMemoryAccess open;
  for_each_run(*this, [&](std::size_t offset, std::size_t run) {
    std::memcpy(static_cast<char*>(p) + offset, from, run);
    from += run;
  });
}

void check_apart(const Operand& a, const Operand& b) {
  const char *begin_a = static_cast<const char*>(a.p), *begin_b = static_cast<const char*>(b.p);
  if (begin_a < begin_b + b.bytes() && begin_b < begin_a + a.bytes())
    throw CudaError(concat(a.call, ": ", a.name, ", ", a.bytes(), " bytes at ", a.p, ", overlaps ",
                           b.name, ", ", b.bytes(), " bytes at ", b.p));
}

Operand workspace(const char* call, void* p, std::size_t bytes) {
  return {call, "workspace", p, DType::u8, {static_cast<std::int64_t>(bytes)}, {1}};
}

namespace {

/// What the tensor cores make of an f32: 10 bits behind the point, to nearest.
float to_tf32(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  return std::bit_cast<float>((bits + 0xfffu + (bits >> 13 & 1u)) & ~0x1fffu);
}

}  // namespace

Tensor factor(const Operand& operand, bool tf32) {
  Tensor t = operand.gather();
  if (t.dtype() != DType::f32) return t.to(DType::f32);
  float* p = t.data<float>();
  if (tf32) std::transform(p, p + t.numel(), p, to_tf32);
  return t;
}

}  // namespace limbeck::simt
