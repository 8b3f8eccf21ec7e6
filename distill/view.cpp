// SPDX-License-Identifier: Apache-2.0
#include <limbeck/distill/view.h>

#include <algorithm>
#include <optional>

#include <limbeck/autograd/cast.h>
#include <limbeck/autograd/reshape.h>
#include <limbeck/core/trace.h>
#include <limbeck/distill/scope_names.h>
#include <limbeck/distill/tap.h>
#include <limbeck/kernels/gather.h>

namespace limbeck {
Variable widened(const Variable& x) {
  return dtype_size(x.value().dtype()) == 2 ? cast(x, DType::f32) : x;
}

Variable logit_rows(const Variable& logits, const Batch& part) {
  const Shape& shape = logits.shape();
  return widened(reshape(logits, {part.labels.numel(), shape[shape.rank() - 1]}));
}

DType dtype_of(Module& model) {
  const auto parameters = model.parameters();
  return parameters.empty() ? DType::f32 : parameters.front().value.value().dtype();
}

Context context_of(const Participant& participant, const Batch& part, const ViewOptions& options) {
  Context context{.seed = participant.seed,
                  .step = static_cast<std::uint32_t>(options.step.value),
                  .step_at = options.step.at,
                  .first_row = options.first_row,
                  .lengths = part.lengths};
  context.training = participant.trainable();
  if (participant.state == ModelState::frozen_batch_statistics ||
      (context.training && !options.learns))
    context.statistics = Statistics::batch;
  return context;
}

std::vector<std::size_t> find_layers(const Participant& participant, const ModelGraph& graph,
                                     const std::set<std::string>& layers) {
  std::vector<std::size_t> found;
  for (std::size_t i = 0; i < graph.size(); ++i)
    if (layers.contains(graph.name(i))) found.push_back(i);
  for (const std::string& layer : layers)
    LIMBECK_CHECK(std::any_of(found.begin(), found.end(),
                              [&](std::size_t i) { return graph.name(i) == layer; }),
                  "model \"", participant.name, "\" has no layer \"", layer, "\"; its last is \"",
                  graph.size() > 0 ? graph.name(graph.size() - 1) : "", "\"");
  return found;
}

namespace {

View run(const Participant& participant, const Batch& part, const ViewOptions& options) {
  Module& model = *participant.model;
  Context context = context_of(participant, part, options);
  const bool ids = part.x.dtype() == DType::i32;
  const Variable x(ids ? part.x : part.x.to(dtype_of(model)));
  if (options.layers.empty()) return {logit_rows(model.forward(x, context), part)};
  auto* graph = dynamic_cast<ModelGraph*>(&model);
  LIMBECK_CHECK(graph, "model \"", participant.name, "\" is no ModelGraph; its layer \"",
                *options.layers.begin(), "\" cannot be read");
  View view;
  const Variable logits = graph->forward(
      x, context, find_layers(participant, *graph, options.layers),
      [&](std::size_t i, const Variable& tap) { view.taps[graph->name(i)] = widened(tap); });
  view.logits = logit_rows(logits, part);
  return view;
}

/// What a participant without a model had to say, a row for every label.
View recall(const Participant& participant, const Batch& part) {
  const std::int64_t R = part.labels.numel();
  const auto rows = [&](const Tensor& stored) { return stored_rows(stored, part.samples); };
  if (participant.logits.defined())
    return {Variable(rows(participant.logits).reshape({R, participant.logits.shape()[-1]}))};
  const auto& [indices, logits, rest_lse] = participant.top;
  View view;
  view.top.indices = rows(indices).reshape({R, indices.shape()[-1]});
  view.top.logits = rows(logits).reshape({R, logits.shape()[-1]});
  if (rest_lse.defined()) view.top.rest_lse = rows(rest_lse).reshape({R});
  return view;
}

}  // namespace

Tensor stored_rows(const Tensor& stored, const Tensor& samples) {
  Tensor rows = Tensor::empty(with_batch(without_batch(stored.shape()), samples.dim(0)),
                              stored.dtype(), stored.device());
  gather_rows(rows, stored, samples);
  return rows;
}

View look(const Participant& participant, const Batch& part, const ViewOptions& options) {
  const TraceScope scope(scope_name(participant), TraceKind::model);
  if (!participant.model) return recall(participant, part);
  std::optional<NoGrad> frozen;
  if (!participant.trainable() || !options.learns) frozen.emplace();
  return run(participant, part, options);
}

}  // namespace limbeck
