// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/ema.h>

#include <limbeck/core/dispatch.h>
#include <limbeck/core/math.h>
#include <limbeck/kernels/pieces.h>

namespace limbeck {
namespace {

void check(std::span<const EmaPair> pairs, const StepNumber& decay) {
  LIMBECK_CHECK(decay.value >= 0 && decay.value <= 1, "ema_step: decay is ", decay.value,
                "; expected 0 to 1");
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    const Tensor &value = pairs[i].value, &source = pairs[i].source;
    LIMBECK_CHECK(value.defined() && source.defined(), "ema_step: pair ", i,
                  " has an undefined tensor; expected two allocated ones");
    LIMBECK_CHECK(is_floating(source.dtype()) &&
                      value.dtype() == (source.dtype() == DType::f64 ? DType::f64 : DType::f32),
                  "ema_step: pair ", i, " averages ", source.dtype(), " in ", value.dtype(),
                  "; expected f32, or f64 for f64");
    LIMBECK_CHECK(value.shape() == source.shape() && value.device() == source.device(),
                  "ema_step: pair ", i, " has value ", value.shape(), " on ", value.device(),
                  ", source ", source.shape(), " on ", source.device(), "; expected equal ones");
    const Tensor& first = pairs[0].source;
    LIMBECK_CHECK(source.dtype() == first.dtype() && source.device() == first.device(),
                  "ema_step: pair ", i, " is ", source.dtype(), " on ", source.device(),
                  ", pair 0 ", first.dtype(), " on ", first.device(), "; expected equal ones");
  }
}

}  // namespace

void ema_step(std::span<EmaPair> pairs, const StepNumber& decay) {
  check(pairs, decay);
  if (pairs.empty()) return;
  LIMBECK_DISPATCH(pairs[0].value.device(), ema_step(pairs, decay));
}

namespace cpu {

void ema_step(std::span<EmaPair> pairs, const StepNumber& decay) {
  visit_floating(pairs[0].source.dtype(), [&](auto tag) {
    using S = typename decltype(tag)::type;
    using T = ComputeType<S>;
    const T left = static_cast<T>(1 - decay.get());
    for_each_piece(pairs, [&](EmaPair& p, std::int64_t begin, std::int64_t n) {
      T* value = p.value.data<T>() + begin;
      const S* source = p.source.data<S>() + begin;
      simd([=, rest = left](auto) {
#pragma omp simd
        for (std::int64_t i = 0; i < n; ++i)
          value[i] = math::fma(rest, static_cast<T>(source[i]) - value[i], value[i]);
      });
    });
  });
}

}  // namespace cpu
}  // namespace limbeck
