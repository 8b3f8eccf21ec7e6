// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/ema.h>

#include <utility>
#include <vector>

#include <limbeck/core/math.h>
#include <limbeck/kernels/multi_tensor.cuh>

namespace limbeck::cuda {
namespace {

template <class S>
struct Entry {
  float* value;
  const S* source;
  std::int64_t n;
};

/// Reads 4 bytes and the source and writes 4 bytes per element.
struct Update {
  StepNumber decay;

  template <class S>
  LIMBECK_DEVICE void operator()(const Entry<S>& e, std::int64_t first) const {
    const float rest = static_cast<float>(1 - decay.get());
    for (int k = 0; k < gpu::kThreadElements; ++k) {
      const std::int64_t i = first + k * gpu::kTensorThreads;
      if (i >= e.n) return;
      e.value[i] = math::fma(rest, static_cast<float>(e.source[i]) - e.value[i], e.value[i]);
    }
  }
};

}  // namespace

void ema_step(std::span<EmaPair> pairs, const StepNumber& decay) {
  gpu::visit_gpu_floating("ema_step", pairs[0].source.dtype(), [&]<class S>(TypeTag<S>) {
    std::vector<Entry<S>> entries;
    for (EmaPair& p : pairs)
      entries.push_back(
          {p.value.data<float>(), std::as_const(p.source).data<S>(), p.value.numel()});
    gpu::for_each_tensor<Entry<S>>("ema_step", entries, Update{decay});
  });
}

}  // namespace limbeck::cuda
