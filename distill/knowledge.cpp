// SPDX-License-Identifier: Apache-2.0
#include <limbeck/distill/knowledge.h>

#include <algorithm>
#include <numeric>

#include <limbeck/distill/shuffle.h>
#include <limbeck/distill/tap.h>

namespace limbeck {
namespace {

constexpr std::int64_t kBatch = 500;

std::vector<std::int32_t> all_samples(const BatchSource& data) {
  std::vector<std::int32_t> samples(static_cast<std::size_t>(data.size()));
  std::iota(samples.begin(), samples.end(), 0);
  return samples;
}

Tensor tap_of(const Participant& model, const Batch& batch, const std::string& layer) {
  Participant frozen = model;
  if (frozen.trainable()) frozen.state = ModelState::frozen_eval;
  return look(frozen, batch, {.learns = false, .layers = {layer}}).taps.at(layer).value();
}

void check_plain(const char* who, const BatchSource& data) {
  LIMBECK_CHECK(!data.augments() && data.size() >= 1, who, ": the data is augmented or empty; ",
                "expected samples as they are");
}

}  // namespace

TapStatistics calibrate(const Participant& model, BatchSource& data, const std::string& layer,
                        double momentum) {
  check_plain("calibrate", data);
  data.begin_epoch(shuffled(all_samples(data), 0, 0), 0);
  const Batch batch = data.fetch(0, std::min(kCalibrationSamples, data.size()), 0);
  return TapStatistics::of(tap_of(model, batch, layer), momentum);
}

Tensor encode_all(const Participant& model, BatchSource& data, const FeatureLesson& feature) {
  check_plain("encode_all", data);
  const std::int64_t N = data.size();
  data.begin_epoch(all_samples(data), 0);
  Tensor codes =
      Tensor::empty(with_batch(feature.loss->code_shape(), N), DType::f32, data.device());
  for (std::int64_t first = 0; first < N; first += kBatch) {
    const std::int64_t last = std::min(first + kBatch, N);
    const Batch batch = data.fetch(first, last, 0);
    codes.rows(first, last).copy_from(code_of(feature, tap_of(model, batch, feature.source)));
  }
  return codes;
}

}  // namespace limbeck
