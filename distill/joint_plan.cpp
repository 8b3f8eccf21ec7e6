// SPDX-License-Identifier: Apache-2.0
#include <limbeck/distill/joint_plan.h>

#include <algorithm>
#include <optional>
#include <set>

#include <limbeck/core/parallel.h>
#include <limbeck/distill/tap.h>
#include <limbeck/nn/conv2d.h>
#include <limbeck/nn/dropout.h>
#include <limbeck/nn/embedding.h>
#include <limbeck/nn/flatten.h>
#include <limbeck/nn/linear.h>

namespace limbeck {
namespace {

constexpr std::size_t kAlignment = 16;

std::vector<std::size_t> nodes_of(const Participant& participant, const ModelGraph* graph,
                                  const std::set<std::string>& layers) {
  if (layers.empty()) return {};
  LIMBECK_CHECK(graph, "model \"", participant.name, "\" is no ModelGraph; its layer \"",
                *layers.begin(), "\" cannot be read");
  return find_layers(participant, *graph, layers);
}

PlannedModel plan_model(const std::vector<Participant>& participants,
                        const std::vector<Lesson>& lessons, std::size_t i) {
  const Participant& participant = participants[i];
  PlannedModel plan{.graph = dynamic_cast<ModelGraph*>(participant.model)};
  std::set<std::string> taps, kept;
  for (const Lesson& lesson : lessons)
    for (const FeatureLesson& feature : lesson.features) {
      if (lesson.receiver == i) kept.insert(feature.receiver);
      if (!feature.codes.defined() && lesson.sources.at(0) == i) taps.insert(feature.source);
    }
  taps.insert(kept.begin(), kept.end());
  if (!participant.model) return plan;
  plan.taps = nodes_of(participant, plan.graph, taps);
  plan.kept = nodes_of(participant, plan.graph, kept);
  return plan;
}

bool leaves_values(ModelGraph& graph, std::size_t node, bool frozen) {
  Module* layer = graph.layer(node);
  return dynamic_cast<Flatten*>(layer) ||
         (frozen && (dynamic_cast<Dropout*>(layer) || dynamic_cast<DropPath*>(layer)));
}

enum class JoinedKind { linear, conv2d, embedding };

/// What a layer can be joined by: its weight, its bias, and what else it does.
struct Joinable {
  JoinedKind kind;
  Variable weight, bias = {};
  Conv2dOptions options = {};
  /// What one result is computed from: equal in layers that are joined.
  Shape reads() const {
    const Shape& shape = weight.shape();
    return kind == JoinedKind::embedding ? Shape{shape[0]} : without_batch(shape);
  }
};

std::optional<Joinable> joinable(Module* layer) {
  if (!layer || layer->parameters().empty()) return {};  // a tied weight is another layer's
  if (const auto* linear = dynamic_cast<Linear*>(layer))
    return Joinable{JoinedKind::linear, linear->weight(), linear->bias()};
  if (const auto* table = dynamic_cast<Embedding*>(layer))
    return Joinable{JoinedKind::embedding, table->weight()};
  const auto* conv = dynamic_cast<Conv2d*>(layer);
  if (conv && conv->options().groups == 1)
    return Joinable{JoinedKind::conv2d, conv->weight(), conv->bias(), conv->options()};
  return {};
}

/// The first such layer that reads the model's input, if any does.
std::optional<std::size_t> input_layer(const PlannedModel& model, bool frozen) {
  if (!model.graph) return {};
  ModelGraph& graph = *model.graph;
  std::set<std::size_t> same = {ModelGraph::kModelInput};  // nodes whose value is the input
  for (std::size_t i = 0; i < graph.size(); ++i) {
    if (!same.contains(graph.inputs(i)[0])) continue;
    if (leaves_values(graph, i, frozen)) same.insert(i);
    if (joinable(graph.layer(i)) && graph.op_end(i, model.taps) != ModelGraph::kModelInput)
      return i;
  }
  return {};
}

Joinable layer_at(const JointPlan& plan, const JoinedLayer& at) {
  return *joinable(plan.models[at.participant].graph->layer(at.node));
}

bool alike(const Joinable& a, const Joinable& b) {
  const Tensor &v = a.weight.value(), &w = b.weight.value();
  const Conv2dOptions &o = a.options, &p = b.options;
  return a.kind == b.kind && a.reads() == b.reads() && v.dtype() == w.dtype() &&
         v.device() == w.device() && a.bias.defined() == b.bias.defined() && o.stride == p.stride &&
         o.padding == p.padding && o.dilation == p.dilation;
}

std::vector<JoinedLayers> find_joined(const JointPlan& plan,
                                      const std::vector<Participant>& participants) {
  std::vector<JoinedLayers> groups;
  for (std::size_t i = 0; i < participants.size(); ++i) {
    const auto node = input_layer(plan.models[i], !participants[i].trainable());
    if (!node) continue;
    const JoinedLayer layer = {i, *node};
    const auto group = std::find_if(groups.begin(), groups.end(), [&](const JoinedLayers& other) {
      return other.layers.size() < kMaxJoined &&
             alike(layer_at(plan, other.layers[0]), layer_at(plan, layer)) &&
             std::none_of(other.layers.begin(), other.layers.end(), [&](const JoinedLayer& o) {
               return participants[o.participant].model == participants[i].model;
             });
    });
    if (group == groups.end())
      groups.push_back({{layer}});
    else
      group->layers.push_back(layer);
  }
  std::erase_if(groups, [](const JoinedLayers& group) { return group.layers.size() < 2; });
  return groups;
}

/// Parameters one after the other in one memory, each a view of its rows.
Tensor stack_up(std::vector<Variable> parameters) {
  std::int64_t rows = 0;
  for (const Variable& p : parameters) {
    if (p.value().nbytes() % kAlignment != 0) return {};
    rows += p.shape()[0];
  }
  const Tensor& first = parameters[0].value();
  Tensor stack =
      Tensor::empty(with_batch(without_batch(first.shape()), rows), first.dtype(), first.device());
  rows = 0;
  for (Variable& p : parameters) {
    Tensor view = stack.rows(rows, rows + p.shape()[0]);
    view.copy_from(p.value());
    rows += p.shape()[0];
    p.value() = view;
  }
  return stack;
}

void stack_on_gpu(JointPlan& plan, JoinedLayers& group) {
  std::vector<Variable> weights, biases;
  for (const JoinedLayer& layer : group.layers) {
    weights.push_back(layer_at(plan, layer).weight);
    biases.push_back(layer_at(plan, layer).bias);
  }
  const bool looks_up = layer_at(plan, group.layers[0]).kind == JoinedKind::embedding;
  if (looks_up || !weights[0].value().device().is_cuda()) return;
  const bool aligned = std::all_of(biases.begin(), biases.end(), [](const Variable& bias) {
    return !bias.defined() || bias.value().nbytes() % kAlignment == 0;
  });
  if (!aligned) return;
  group.stack.w = stack_up(weights);
  if (group.stack.w.defined() && biases[0].defined()) group.stack.bias = stack_up(biases);
}

void pack(PlannedModel& model) {
  for (std::size_t i = 0; i < model.graph->size(); ++i)
    if (const auto* linear = dynamic_cast<Linear*>(model.graph->layer(i));
        linear && linear->weight().value().nbytes() <= kMaxPackedBytes)
      if (const PackedWeight packed(linear->weight().value()); !packed.empty())
        model.packed.emplace(i, packed);
}

/// The last node's layer where it makes logits of hidden states and nothing else, or null.
const Linear* head_of(const PlannedModel& model) {
  if (!model.graph || model.graph->size() == 0) return nullptr;
  const std::size_t last = model.graph->size() - 1;
  const auto* linear = dynamic_cast<Linear*>(model.graph->layer(last));
  const bool own_op = model.graph->op_end(last, model.taps) == last;
  const bool tapped = std::find(model.taps.begin(), model.taps.end(), last) != model.taps.end();
  return linear && !linear->bias().defined() && own_op && !tapped ? linear : nullptr;
}

bool has_heads(const JointPlan& plan, const std::vector<Participant>& participants,
               const std::vector<Lesson>& lessons) {
  if (lessons.size() != 1 || participants.size() != 2) return false;
  const Lesson& lesson = lessons[0];
  if (!lesson.logits || lesson.target || lesson.confidence || lesson.sources.size() != 1 ||
      participants[lesson.receiver].recipe.label_smoothing > 0 ||
      participants[lesson.sources[0]].trainable())
    return false;
  const Linear *own = head_of(plan.models[lesson.receiver]),
               *other = head_of(plan.models[lesson.sources[0]]);
  if (!own || !other || own->weight().value().dtype() != DType::f32) return false;
  const DType dtype = other->weight().value().dtype();
  return dtype != DType::f64 && own->weight().shape()[0] == other->weight().shape()[0];
}

}  // namespace

JointPlan make_joint_plan(const std::vector<Participant>& participants,
                          const std::vector<Lesson>& lessons, bool pack_frozen) {
  JointPlan plan;
  for (std::size_t i = 0; i < participants.size(); ++i) {
    plan.models.push_back(plan_model(participants, lessons, i));
    if (pack_frozen && plan.models[i].graph && !participants[i].trainable()) pack(plan.models[i]);
  }
  plan.joined = find_joined(plan, participants);
  plan.heads = has_heads(plan, participants, lessons);
  for (JoinedLayers& group : plan.joined) stack_on_gpu(plan, group);
  return plan;
}

std::size_t joined_bytes(const JointPlan& plan, const std::vector<JoinedLayer>& layers,
                         const Shape& batch) {
  std::size_t bytes = 0;
  for (const auto& [participant, node] : layers) {
    ModelGraph& graph = *plan.models[participant].graph;
    const std::int64_t elements = graph.layer(node)->output_shape(batch).numel();
    bytes += static_cast<std::size_t>(elements) * dtype_size(dtype_of(graph));
  }
  return bytes;
}

std::int64_t rows_in_cache(ModelGraph& graph, const Shape& batch) {
  constexpr std::int64_t kCacheElements = 256 * 1024;         // 1 MiB of f32
  constexpr std::int64_t kFewElements = 32 * kCacheElements;  // below, shares cost up to 4 %
  const std::int64_t N = batch[0];
  const std::vector<Shape> shapes = graph.node_shapes(batch);
  std::int64_t widest = 1, all = 0;
  for (std::size_t i = 0; i < graph.size(); ++i) {
    if (shapes[i].rank() == 0 || shapes[i][0] != N) return N;
    std::int64_t touched = shapes[i].numel();
    for (const std::size_t from : graph.inputs(i))
      touched += (from == ModelGraph::kModelInput ? batch : shapes[from]).numel();
    widest = std::max(widest, touched / std::max<std::int64_t>(N, 1));
    all += shapes[i].numel();
  }
  const bool few = N * widest <= kFewElements;
  const std::int64_t shares = (N * widest + kCacheElements - 1) / kCacheElements;
  const bool heavy = parameter_count(graph) * shares > all;
  if (few || heavy) return N;
  const std::int64_t threads = num_threads();  // which are to end together
  const std::int64_t even = (std::min(shares, N) + threads - 1) / threads * threads;
  return (N + even - 1) / even;
}

}  // namespace limbeck
