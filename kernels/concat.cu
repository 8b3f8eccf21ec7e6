// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/concat.h>

#include <limbeck/kernels/gpu_types.cuh>

namespace limbeck::cuda {
namespace {

constexpr int kThreads = 256;

LIMBECK_DEVICE void copy(gpu::Pack16* to, const gpu::Pack16* from) {
  gpu::store16(to, gpu::load16(from));
}
template <class T>
LIMBECK_DEVICE void copy(T* to, const T* from) {
  *to = *from;
}

/// Element i of the part, in x.
LIMBECK_DEVICE std::int64_t place_in_x(const PartOfRows& where, std::int64_t i) {
  const std::int64_t row = i / where.width;
  return row * where.x_width + where.offset + (i - row * where.width);
}

/// One thread per unit U, an element or 16 bytes; reads and writes the part's size.
template <class U>
LIMBECK_KERNEL slice_kernel(U* part, const U* x, PartOfRows where, std::int64_t n) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i < n) copy(part + i, x + place_in_x(where, i));
}

/// As slice_kernel.
template <class U>
LIMBECK_KERNEL place_kernel(U* x, const U* part, PartOfRows where, std::int64_t n) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i < n) copy(x + place_in_x(where, i), part + i);
}

/// One thread per element of the part; reads both, writes x.
template <class T>
LIMBECK_KERNEL place_add_kernel(T* x, const T* part, PartOfRows where, std::int64_t n) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= n) return;
  T& to = x[place_in_x(where, i)];
  to = T(static_cast<float>(to) + static_cast<float>(part[i]));
}

/// Calls fn(TypeTag<U>{}, where) with the largest unit that all of it is made of, counted in it.
template <class T, class Fn>
void visit_unit(const Tensor& x, const Tensor& part, const PartOfRows& where, Fn fn) {
  constexpr std::int64_t kUnit = gpu::kLanes<T>;
  const bool whole = (where.x_width | where.width | where.offset) % kUnit == 0 &&
                     (gpu::misalignment(x.raw()) | gpu::misalignment(part.raw())) == 0;
  if (whole)
    fn(TypeTag<gpu::Pack16>{},
       PartOfRows{where.rows, where.x_width / kUnit, where.width / kUnit, where.offset / kUnit});
  else
    fn(TypeTag<T>{}, where);
}

gpu::Launch launch_of(const char* name, const PartOfRows& where) {
  return {name, gpu::blocks_for(where.numel(), kThreads), kThreads};
}

}  // namespace

void slice(Tensor& part, const Tensor& x, const PartOfRows& where) {
  if (where.numel() == 0) return;
  gpu::visit_gpu_floating("slice", x.dtype(), [&]<class T>(TypeTag<T>) {
    visit_unit<T>(x, part, where, [&]<class U>(TypeTag<U>, const PartOfRows& units) {
      gpu::launch(launch_of("slice", units), slice_kernel<U>, static_cast<U*>(part.raw()),
                  static_cast<const U*>(x.raw()), units, units.numel());
    });
  });
}

void place(Tensor& x, const Tensor& part, const PartOfRows& where, Out out) {
  if (where.numel() == 0) return;
  gpu::visit_gpu_floating("place", x.dtype(), [&]<class T>(TypeTag<T>) {
    if (out == Out::add)
      return gpu::launch(launch_of("place_add", where), place_add_kernel<T>, x.data<T>(),
                         part.data<T>(), where, where.numel());
    visit_unit<T>(x, part, where, [&]<class U>(TypeTag<U>, const PartOfRows& units) {
      gpu::launch(launch_of("place", units), place_kernel<U>, static_cast<U*>(x.raw()),
                  static_cast<const U*>(part.raw()), units, units.numel());
    });
  });
}

}  // namespace limbeck::cuda
