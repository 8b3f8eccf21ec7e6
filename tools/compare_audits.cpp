// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/compare_audits.h>

#include <algorithm>

#include <limbeck/core/error.h>
#include <limbeck/distill/layer_tap.h>
#include <limbeck/distill/tap.h>

namespace limbeck {
namespace {

Batch some_of(BatchSource& data, std::int64_t most) {
  const std::int64_t count = std::min(most, data.size());
  data.begin_epoch(spread_samples(count, data.size()), 0);
  return data.fetch(0, count, 0);
}

/// One sample's shape.
Shape of_one(const Tensor& taps) {
  return Shape(std::span(taps.shape().begin() + 1, taps.shape().end()));
}

/// The layer that turns features of `layer` into logits, if nothing else does.
Module* head_of(ModelGraph& model, std::size_t layer) {
  const std::size_t last = model.size() - 1;
  const bool alone = last != layer && model.inputs(last) == std::vector<std::size_t>{layer};
  return alone ? model.layer(last) : nullptr;
}

}  // namespace

LedgerView channel_audit(ModelGraph& student, BatchSource& student_data, ModelGraph& teacher,
                         BatchSource& teacher_data, const std::vector<std::string>& layers) {
  LIMBECK_CHECK(layers.size() == 1 || layers.size() == 2, "--ledger: names ", layers.size(),
                " layers; expected the student's and the teacher's");
  LedgerView view{layers.front(), layers.back(), {}};
  const std::size_t s = layer_named(student, view.student, "student");
  const std::size_t t = layer_named(teacher, view.teacher, "teacher");
  const Tensor receiver = layer_tap(student, s, some_of(student_data, kLedgerSamples));
  const Tensor source = layer_tap(teacher, t, some_of(teacher_data, kLedgerSamples));
  const TapGrid grid = common_grid(of_one(receiver), of_one(source));
  view.probe = probe_channels(tap_rows(receiver, grid), tap_rows(source, grid));
  return view;
}

RecoveryView recovery_audit(ModelGraph& teacher, BatchSource& data, const std::string& layer,
                            std::int64_t K) {
  const std::size_t place = layer_named(teacher, layer, "teacher");
  const Batch batch = some_of(data, kRecoverySamples);
  const Tensor taps = layer_tap(teacher, place, batch);
  const bool steps = batch.labels.rank() == 2 && taps.rank() >= 3;
  const std::int64_t rows = steps ? taps.dim(0) * taps.dim(1) : taps.dim(0);
  const std::int64_t N = std::min(rows, kRecoverySamples), D = taps.numel() / rows;
  LIMBECK_CHECK(D <= kMaxRecovered, "--recover: layer '", layer, "' has ", D,
                " features; expected at most ", kMaxRecovered);
  LIMBECK_CHECK(K >= 0 && K <= D, "--measurements: is ", K, "; expected 1 to ", D,
                ", the features of '", layer, "'");
  const Tensor features = taps.reshape({rows, D}).rows(0, N).to(DType::f32);
  RecoveryView view{
      layer, default_measurement(D), K > 0 ? K : std::max<std::int64_t>(D / 4, 1), D, {}};
  const MeasurementMatrix matrix(view.matrix, view.K, D, 0, 0, DType::f32, features.device());
  FeatureHead head;
  if (Module* last = steps || taps.rank() == 2 ? head_of(teacher, place) : nullptr)
    head = [last, device = taps.device()](const Tensor& x) {
      const NoGrad no_grad;
      Context context;
      const Tensor y = last->forward(Variable(x.to(DType::f32).to(device)), context).value();
      return y.to(Device::cpu()).to(x.dtype());
    };
  view.report = recovery_report(matrix.apply(features), matrix.dense(), features, {}, head);
  return view;
}

}  // namespace limbeck
