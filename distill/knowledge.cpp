// SPDX-License-Identifier: Apache-2.0
#include <limbeck/distill/knowledge.h>

#include <algorithm>
#include <numeric>

#include <limbeck/distill/shuffle.h>
#include <limbeck/distill/tap.h>
#include <limbeck/kernels/topk.h>

namespace limbeck {
namespace {

/// Samples at a time: of images, and of sequences, which have logits at every step.
constexpr std::int64_t kBatch = 500, kSequences = 50;

std::vector<std::int32_t> all_samples(const BatchSource& data) {
  std::vector<std::int32_t> samples(static_cast<std::size_t>(data.size()));
  std::iota(samples.begin(), samples.end(), 0);
  return samples;
}

View view_of(const Participant& model, const Batch& batch, std::set<std::string> layers = {}) {
  Participant frozen = model;
  if (frozen.trainable()) frozen.state = ModelState::frozen_eval;
  return look(frozen, batch, {.learns = false, .layers = std::move(layers)});
}

Tensor tap_of(const Participant& model, const Batch& batch, const std::string& layer) {
  return view_of(model, batch, {layer}).taps.at(layer).value();
}

void check_plain(const char* who, const BatchSource& data) {
  LIMBECK_CHECK(!data.augments() && data.size() >= 1, who, ": the data is augmented or empty; ",
                "expected samples as they are");
}

/// Calls visit(logits, labels, first, last) for all samples in their order; the logits (R,V) are a
/// row for every label.
template <class Visit>
void visit_logits(const Participant& model, BatchSource& data, const Visit& visit) {
  const std::int64_t N = data.size();
  data.begin_epoch(all_samples(data), 0);
  for (std::int64_t first = 0, last = 0; first < N; first = last) {
    const bool sequences = data.fetch(first, first + 1, 0).labels.rank() > 1;
    last = std::min(first + (sequences ? kSequences : kBatch), N);
    const Batch batch = data.fetch(first, last, 0);
    visit(view_of(model, batch).logits.value(), batch.labels.shape(), first, last);
  }
}

/// N samples' worth of what `labels` (B) or (B,T) has a row of `row` numbers for.
Tensor room(std::int64_t N, const Shape& labels, std::initializer_list<std::int64_t> row,
            DType dtype, Device device) {
  std::vector<std::int64_t> dims(labels.begin(), labels.end());
  dims[0] = N;
  dims.insert(dims.end(), row);
  return Tensor::empty(Shape(std::span<const std::int64_t>(dims)), dtype, device);
}

}  // namespace

TapStatistics calibrate(const Participant& model, BatchSource& data, const std::string& layer,
                        double momentum) {
  check_plain("calibrate", data);
  data.begin_epoch(shuffled(all_samples(data), 0, 0), 0);
  const Batch batch = data.fetch(0, std::min(kCalibrationSamples, data.size()), 0);
  return TapStatistics::of(tap_of(model, batch, layer), momentum);
}

Tensor logits_of_all(const Participant& model, BatchSource& data) {
  check_plain("logits_of_all", data);
  Tensor all;
  visit_logits(model, data, [&](const Tensor& z, const Shape& labels, auto first, auto last) {
    if (!all.defined()) all = room(data.size(), labels, {z.dim(1)}, DType::f32, z.device());
    Tensor part = all.rows(first, last);
    part.copy_from(z.reshape(part.shape()));
  });
  return all;
}

SparseTeacher top_of_all(const Participant& model, BatchSource& data, std::int64_t K, double tau) {
  check_plain("top_of_all", data);
  SparseTeacher all;
  visit_logits(model, data, [&](const Tensor& z, const Shape& labels, auto first, auto last) {
    if (!all.logits.defined())
      all = {room(data.size(), labels, {K}, DType::i32, z.device()),
             room(data.size(), labels, {K}, DType::f32, z.device()),
             room(data.size(), labels, {}, DType::f32, z.device())};
    Tensor values = all.logits.rows(first, last).reshape({z.dim(0), K}),
           indices = all.indices.rows(first, last).reshape({z.dim(0), K}),
           rest = all.rest_lse.rows(first, last).reshape({z.dim(0)});
    topk(values, indices, rest, z, tau);
  });
  return all;
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
