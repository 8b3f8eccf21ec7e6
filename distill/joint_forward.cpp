// SPDX-License-Identifier: Apache-2.0
#include <limbeck/distill/joint_forward.h>

#include <algorithm>
#include <optional>

#include <limbeck/autograd/embedding.h>
#include <limbeck/autograd/joined_conv2d.h>
#include <limbeck/autograd/joined_linear.h>
#include <limbeck/autograd/reshape.h>
#include <limbeck/core/parallel.h>
#include <limbeck/core/trace.h>
#include <limbeck/distill/scope_names.h>
#include <limbeck/distill/tap.h>
#include <limbeck/nn/activation.h>
#include <limbeck/nn/conv2d.h>
#include <limbeck/nn/embedding.h>
#include <limbeck/nn/linear.h>

namespace limbeck {
namespace {

bool contains(const std::vector<std::size_t>& list, std::size_t i) {
  return std::find(list.begin(), list.end(), i) != list.end();
}

bool on_gpu(const Participant& participant) {
  const auto parameters =
      participant.model ? participant.model->parameters() : std::vector<NamedParameter>{};
  return !parameters.empty() && parameters[0].value.value().device().is_cuda();
}

/// A batch of a model's input as its own dtype has it; models of one dtype share it.
Variable input_of(const Batch& part, DType dtype, std::map<DType, Variable>& inputs) {
  Variable& x = inputs[dtype];
  if (!x.defined()) x = Variable(part.x.dtype() == DType::i32 ? part.x : part.x.to(dtype));
  return x;
}

const Linear& last_linear(ModelGraph& graph) {
  return static_cast<const Linear&>(*graph.layer(graph.size() - 1));
}

Activation activation_at(ModelGraph& graph, std::size_t node, std::size_t end) {
  return end == node ? Activation::none
                     : static_cast<ActivationLayer&>(*graph.layer(end)).activation();
}

/// "student/fc1+relu1 & teacher/fc1+relu1"; empty when nobody listens.
std::string joined_name(const std::vector<JoinedLayer>& layers, const JointPlan& plan,
                        const std::vector<Participant>& participants) {
  std::string name;
  if (!traces(TraceKind::node)) return name;
  for (const auto& [participant, node] : layers) {
    const PlannedModel& model = plan.models[participant];
    name += (name.empty() ? "" : " & ") + scope_name(participants[participant]) + "/" +
            op_name(*model.graph, node, model.graph->op_end(node, model.taps));
  }
  return name;
}

/// The stack, unless another plan has moved a weight into one of its own since.
template <class Layer>
WeightStack intact(const WeightStack& stack, const std::vector<Layer>& layers) {
  if (!stack.w.defined()) return {};
  std::int64_t first = 0;
  for (const Layer& layer : layers) {
    const std::int64_t end = first + layer.w.shape()[0];
    if (layer.w.value().raw() != stack.w.rows(first, end).raw()) return {};
    first = end;
  }
  return stack;
}

}  // namespace

/// A participant in the course of a pass; x is undefined where look() does everything.
struct JointForward::Running {
  bool needed = false, learns = false;
  ViewOptions options = {};
  Variable x = {};
  std::int64_t share = 0;  ///< rows at a time; all: the batch as a whole
  ModelGraph::Pass pass = {};

  bool in_shares() const { return share < x.shape()[0]; }
};

JointForward::JointForward(std::vector<Participant> participants, std::vector<Lesson> lessons,
                           bool pack_frozen)
    : participants_(std::move(participants)),
      lessons_(std::move(lessons)),
      plan_(make_joint_plan(participants_, lessons_, pack_frozen)),
      branches_(participants_.size()),
      shares_(participants_.size()) {
  for (std::size_t i = 0; i < participants_.size(); ++i)
    if (on_gpu(participants_[i]))
      branches_[i] =
          std::make_unique<Branch>(participants_[i].model->parameters()[0].value.value().device());
}

bool JointForward::needed(std::size_t participant, const JointPass& pass) const {
  return contains(pass.learners, participant) ||
         std::any_of(lessons_.begin(), lessons_.end(), [&](const Lesson& lesson) {
           return contains(pass.learners, lesson.receiver) &&
                  contains(lesson.sources, participant) && reads_sources(lesson, pass.clock);
         });
}

bool JointForward::by_heads(const Batch& part, const JointPass& pass) const {
  if (!plan_.heads || pass.whole_logits || part.other_labels.defined()) return false;
  const Variable& weight = last_linear(*plan_.models[lessons_[0].receiver].graph).weight();
  const auto logits = static_cast<std::size_t>(part.labels.numel() * weight.shape()[0]) * 4;
  return logits >= kLargeLogitsBytes && reads_logits(lessons_[0], pass.clock);
}

std::vector<View> JointForward::operator()(const Batch& part, const JointPass& pass) {
  std::vector<Running> running(participants_.size());
  std::map<DType, Variable> inputs;
  const bool heads = by_heads(part, pass);
  for (std::size_t i = 0; i < participants_.size(); ++i) {
    Running& r = running[i];
    r.needed = needed(i, pass);
    r.learns = contains(pass.learners, i);
    r.options = {.step = pass.step, .first_row = pass.first_row, .learns = r.learns};
    if (!r.needed || !plan_.models[i].graph) continue;
    r.x = input_of(part, dtype_of(*participants_[i].model), inputs);
    r.share = share_of(i, r.x.shape());
    r.pass = {
        .taps = plan_.models[i].taps, .without_last = heads, .packed = &plan_.models[i].packed};
  }
  run_joined(running);
  std::vector<View> views(participants_.size());
  std::optional<std::size_t> last;  // runs on the selected stream, the others beside it
  for (std::size_t i = 0; i < participants_.size(); ++i)
    if (running[i].needed && running[i].learns) last = i;
  for (std::size_t i = 0; i < participants_.size(); ++i) {
    if (!running[i].needed || i == last) continue;
    const auto run = [&] { views[i] = view_of(i, part, pass, running[i]); };
    branches_[i] ? branches_[i]->run(run) : run();
  }
  if (last) views[*last] = view_of(*last, part, pass, running[*last]);
  for (std::size_t i = 0; i < participants_.size(); ++i)
    if (branches_[i] && running[i].needed && i != last) branches_[i]->join();
  return views;
}

/// Leaves the values of joined layers in the passes of those that take part.
void JointForward::run_joined(std::vector<Running>& running) const {
  for (const JoinedLayers& group : plan_.joined) {
    std::vector<JoinedLayer> present;
    for (const JoinedLayer& at : group.layers)
      if (running[at.participant].needed && !running[at.participant].in_shares())
        present.push_back(at);
    if (present.size() < 2) continue;
    const Variable& x = running[present[0].participant].x;
    if (!x.value().device().is_cuda() && joined_bytes(plan_, present, x.shape()) > kMaxJoinedBytes)
      continue;
    const bool all = present.size() == group.layers.size();
    const TraceScope scope(joined_name(present, plan_, participants_), TraceKind::node);
    const std::vector<Variable> values =
        join(present, running, x, all ? group.stack : WeightStack{});
    for (std::size_t k = 0; k < present.size(); ++k) {
      const auto& [participant, node] = present[k];
      const PlannedModel& model = plan_.models[participant];
      running[participant].pass.given[model.graph->op_end(node, model.taps)] =
          reshape(values[k], model.graph->layer(node)->output_shape(x.shape()));
    }
  }
}

std::vector<Variable> JointForward::join(const std::vector<JoinedLayer>& present,
                                         const std::vector<Running>& running, const Variable& x,
                                         const WeightStack& stack) const {
  std::vector<LinearLayer> linears;
  std::vector<Conv2dLayer> convolutions;
  std::vector<EmbeddingLayer> tables;
  Conv2dOptions options;
  for (const auto& [participant, node] : present) {
    const PlannedModel& model = plan_.models[participant];
    const Activation act = activation_at(*model.graph, node, model.graph->op_end(node, model.taps));
    const bool frozen = !running[participant].learns;
    if (const auto* conv = dynamic_cast<Conv2d*>(model.graph->layer(node))) {
      convolutions.push_back({conv->weight(), conv->bias(), act == Activation::relu, frozen});
      options = conv->options();
      continue;
    }
    if (const auto* table = dynamic_cast<Embedding*>(model.graph->layer(node))) {
      tables.push_back({table->weight(), table->padding_idx(), frozen});
      continue;
    }
    const auto& linear = static_cast<const Linear&>(*model.graph->layer(node));
    const auto packed = model.packed.find(node);
    linears.push_back({linear.weight(), linear.bias(), act,
                       packed == model.packed.end() ? PackedWeight() : packed->second, frozen});
  }
  if (!tables.empty()) return joined_embedding(tables, x.value());
  if (linears.empty()) return joined_conv2d(x, convolutions, options, intact(stack, convolutions));
  const std::int64_t I = linears[0].w.shape()[1];
  return joined_linear(reshape(x, {x.shape().numel() / I, I}), linears, intact(stack, linears));
}

View JointForward::view_of(std::size_t i, const Batch& part, const JointPass& pass,
                           const Running& running) const {
  const Participant& participant = participants_[i];
  const PlannedModel& model = plan_.models[i];
  if (!model.graph) return look(participant, part, running.options);
  const TraceScope scope(scope_name(participant), TraceKind::model);
  std::optional<NoGrad> frozen;
  if (!participant.trainable() || !running.learns) frozen.emplace();
  View view;
  const Tap tap = [&](std::size_t node, const Variable& value) {
    take_tap(i, pass, node, value, view);
  };
  if (running.in_shares()) {
    set_result(i, run_in_shares(i, part, running, tap), part, running, view);
    return view;
  }
  Context context = context_of(participant, part, running.options);
  ModelGraph::Pass wanted = running.pass;
  wanted.tap = tap;
  set_result(i, model.graph->forward(running.x, context, wanted), part, running, view);
  return view;
}

/// Logits, or what they are made of.
void JointForward::set_result(std::size_t i, const Variable& value, const Batch& part,
                              const Running& running, View& view) const {
  if (!running.pass.without_last) {
    view.logits = logit_rows(value, part);
    return;
  }
  view.head.hidden =
      reshape(value, {part.labels.numel(), value.shape().numel() / part.labels.numel()});
  view.head.weight = last_linear(*plan_.models[i].graph).weight();
}

std::int64_t JointForward::share_of(std::size_t i, const Shape& batch) {
  const bool divisible = participants_[i].state == ModelState::frozen_eval && !branches_[i];
  if (!divisible) return batch[0];
  auto& [shape, share] = shares_[i];
  if (shape != batch) {
    shape = batch;
    share = rows_in_cache(*plan_.models[i].graph, batch);
  }
  return share;
}

/// A frozen model's pass in shares: its logits, and taps when all is done.
Variable JointForward::run_in_shares(std::size_t i, const Batch& part, const Running& running,
                                     const Tap& tap) const {
  const PlannedModel& model = plan_.models[i];
  const Tensor& x = running.x.value();
  const std::vector<Shape> shapes = model.graph->node_shapes(x.shape());
  const DType dtype = dtype_of(*model.graph);
  const std::size_t last = model.graph->size() - 1;
  Tensor result = Tensor::empty(
      running.pass.without_last ? shapes[model.graph->inputs(last)[0]] : shapes[last], dtype);
  std::map<std::size_t, Tensor> taps;
  for (const std::size_t node : model.taps) taps[node] = Tensor::empty(shapes[node], dtype);
  const std::string name = scope_name(participants_[i]), nowhere;
  const TraceScope scope("in shares");
  parallel_ranges(x.dim(0), running.share, [&](std::int64_t first, std::int64_t end) {
    const TraceScope share_scope(name.c_str(), TraceKind::model, &nowhere);
    const NoGrad frozen;
    ViewOptions options = running.options;
    options.first_row += first;
    Context context = context_of(participants_[i], part_of(part, first, end), options);
    ModelGraph::Pass pass = running.pass;
    pass.tap = [&](std::size_t node, const Variable& value) {
      taps.at(node).rows(first, end).copy_from(value.value());
    };
    const Variable logits = model.graph->forward(Variable(x.rows(first, end)), context, pass);
    result.rows(first, end).copy_from(logits.value());
  });
  for (const auto& [node, value] : taps) tap(node, Variable(value));
  return Variable(result);
}

/// Makes the codes that the learners' lessons want of a tap, and keeps it if it is a receiver's.
void JointForward::take_tap(std::size_t participant, const JointPass& pass, std::size_t node,
                            const Variable& value, View& view) const {
  const PlannedModel& model = plan_.models[participant];
  const std::string& name = model.graph->name(node);
  const Variable tap = widened(value);
  for (const Lesson& lesson : lessons_)
    for (const FeatureLesson& feature : lesson.features)
      if (contains(pass.learners, lesson.receiver) && feature.source == name &&
          reads_source(lesson, feature, pass.clock) && lesson.sources[0] == participant)
        view.codes[{feature.loss.get(), name}] = code_of(feature, tap.value());
  if (contains(pass.learners, participant) && contains(model.kept, node)) view.taps[name] = tap;
}

}  // namespace limbeck
