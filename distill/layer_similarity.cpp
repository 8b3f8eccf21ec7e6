// SPDX-License-Identifier: Apache-2.0
#include <limbeck/distill/layer_similarity.h>

#include <algorithm>
#include <optional>

#include <limbeck/core/error.h>
#include <limbeck/distill/effective_rank.h>
#include <limbeck/distill/feature_gram.h>
#include <limbeck/distill/layer_tap.h>
#include <limbeck/kernels/cross_entropy.h>
#include <limbeck/nn/dropout.h>
#include <limbeck/nn/flatten.h>

namespace limbeck {
namespace {

constexpr std::int64_t kLeastSamples = 4;   // what the unbiased HSIC needs
constexpr std::int64_t kLeastWindows = 16;  // steps of one window are too much alike

bool changes_values(Module* layer) {
  return !dynamic_cast<Dropout*>(layer) && !dynamic_cast<DropPath*>(layer) &&
         !dynamic_cast<Flatten*>(layer);
}

std::vector<std::size_t> chosen_layers(ModelGraph& model, const std::string& pattern) {
  if (!pattern.empty()) return model.find(pattern);
  std::vector<std::size_t> chosen;
  for (std::size_t i = 0; i < model.size(); ++i)
    if (changes_values(model.layer(i))) chosen.push_back(i);
  LIMBECK_CHECK(!chosen.empty(), "compare_layers: the model has no layers; expected at least one");
  return chosen;
}

/// Which rows of a batch's taps are samples.
struct Rows {
  bool steps = false;  ///< a row per step, not per sample
  std::int64_t of = 0;
  std::vector<std::int32_t> chosen;  ///< all when empty
};

Rows rows_of(const Batch& batch, std::int64_t samples) {
  Rows rows{batch.labels.rank() == 2, batch.labels.numel(), {}};
  if (!rows.steps) return rows;
  std::vector<std::int32_t> valid;
  const std::vector<std::int32_t> labels = batch.labels.to_vector<std::int32_t>();
  for (std::size_t i = 0; i < labels.size(); ++i)
    if (labels[i] != kIgnoreIndex) valid.push_back(static_cast<std::int32_t>(i));
  const auto count = static_cast<std::int64_t>(valid.size());
  for (const std::int32_t place : spread_samples(std::min(samples, count), count))
    rows.chosen.push_back(valid[static_cast<std::size_t>(place)]);
  return rows;
}

/// Features (n,...) on the host, or undefined for a layer without an output per step.
Tensor features_of(const Tensor& tap, const Batch& batch, const Rows& rows) {
  if (!rows.steps) return tap;
  const Shape& shape = tap.shape();
  if (shape.rank() < 3 || shape[0] != batch.labels.dim(0) || shape[1] != batch.labels.dim(1))
    return {};
  const Tensor host = tap.to(Device::cpu()).reshape({rows.of, tap.numel() / rows.of});
  const auto n = static_cast<std::int64_t>(rows.chosen.size());
  Tensor features = Tensor::empty({n, host.dim(1)}, host.dtype());
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int32_t row = rows.chosen[static_cast<std::size_t>(i)];
    features.rows(i, i + 1).copy_from(host.rows(row, row + 1));
  }
  return features;
}

/// One batch of a model's layers, as far as they can be compared.
struct Grams {
  std::vector<std::string> names;
  std::vector<Tensor> grams;
  std::vector<double> ranks;

  Tensor stacked() const {
    const std::int64_t n = grams[0].dim(0);
    Tensor all = Tensor::empty({static_cast<std::int64_t>(grams.size()), n, n}, DType::f64);
    for (std::size_t i = 0; i < grams.size(); ++i) {
      const auto row = static_cast<std::int64_t>(i);
      all.rows(row, row + 1).copy_from(grams[i].reshape({1, n, n}));
    }
    return all;
  }
};

Tensor compared_gram(const Tensor& features, const Tensor& gram,
                     const LayerSimilarityOptions& options) {
  if (options.kind == CkaKind::linear) return gram;
  return options.kind == CkaKind::unbiased
             ? centre_unbiased(gram)
             : centred_gram(features, options.kind, options.rbf_scale);
}

Grams grams_of(ModelGraph& model, const std::vector<std::size_t>& layers, const Batch& batch,
               const LayerSimilarityOptions& options) {
  const Rows rows = rows_of(batch, options.samples);
  Grams found;
  visit_taps(model, layers, batch, [&](std::size_t i, const Tensor& tap) {
    const Tensor features = features_of(tap, batch, rows);
    if (!features.defined()) return;
    LIMBECK_CHECK(features.dim(0) >= kLeastSamples, "compare_layers: the data has ",
                  features.dim(0), " samples; expected at least ", kLeastSamples);
    const Tensor gram = linear_gram(features);
    found.ranks.push_back(effective_rank_of_gram(gram));
    found.grams.push_back(compared_gram(features, gram, options));
    found.names.push_back(model.name(i));
  });
  LIMBECK_CHECK(!found.grams.empty(),
                "compare_layers: no layer has an output for every step; expected at least one");
  return found;
}

void add_ranks(std::vector<double>& sums, const std::vector<double>& ranks) {
  sums.resize(ranks.size());
  for (std::size_t i = 0; i < ranks.size(); ++i) sums[i] += ranks[i];
}

/// Which samples of a source come, and how many of them make one Gram matrix.
struct Plan {
  std::vector<std::int32_t> order;
  std::int64_t batch = 0;

  Plan(BatchSource& data, const LayerSimilarityOptions& options) {
    data.begin_epoch({0}, 0);
    const Tensor labels = data.fetch(0, 1, 0).labels;
    const bool steps = labels.rank() == 2;
    const std::int64_t wanted =
        steps ? std::max((options.samples + labels.numel() - 1) / labels.numel(), kLeastWindows)
              : options.samples;
    const std::int64_t count = std::min(wanted, data.size());
    order = spread_samples(count, data.size());
    batch = steps || options.kind != CkaKind::unbiased ? count : std::min(options.batch, count);
  }
};

}  // namespace

LayerSimilarity compare_layers(ModelGraph& student, BatchSource& student_data, ModelGraph& teacher,
                               BatchSource& teacher_data, const LayerSimilarityOptions& options) {
  LIMBECK_CHECK(options.samples >= kLeastSamples && options.batch >= kLeastSamples,
                "compare_layers: ", options.samples, " samples in batches of ", options.batch,
                "; expected at least ", kLeastSamples);
  LIMBECK_CHECK(student_data.size() == teacher_data.size(), "compare_layers: ", student_data.size(),
                " samples for the student, ", teacher_data.size(),
                " for the teacher; expected the same samples");
  const std::vector<std::size_t> student_layers = chosen_layers(student, options.student_layers);
  const std::vector<std::size_t> teacher_layers = chosen_layers(teacher, options.teacher_layers);
  const Plan plan(student_data, options);
  student_data.begin_epoch(plan.order, 0);
  teacher_data.begin_epoch(plan.order, 0);
  const auto count = static_cast<std::int64_t>(plan.order.size());
  LayerSimilarity found;
  found.kind = options.kind;
  std::optional<CkaMatrix> matrix;
  double batches = 0;
  for (std::int64_t at = 0; at < count; at += plan.batch) {
    const std::int64_t last = std::min(at + plan.batch, count);
    if (at > 0 && last - at < kLeastSamples) break;
    const Grams s = grams_of(student, student_layers, student_data.fetch(at, last, 0), options);
    const Grams t = grams_of(teacher, teacher_layers, teacher_data.fetch(at, last, 0), options);
    if (!matrix)
      matrix.emplace(static_cast<std::int64_t>(s.names.size()),
                     static_cast<std::int64_t>(t.names.size()), options.kind);
    matrix->add(s.stacked(), t.stacked());
    found.student = s.names;
    found.teacher = t.names;
    found.samples += s.grams[0].dim(0);
    add_ranks(found.student_rank, s.ranks);
    add_ranks(found.teacher_rank, t.ranks);
    ++batches;
  }
  for (auto* ranks : {&found.student_rank, &found.teacher_rank})
    for (double& rank : *ranks) rank /= batches;
  found.cka = matrix->result();
  return found;
}

}  // namespace limbeck
