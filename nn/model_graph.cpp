// SPDX-License-Identifier: Apache-2.0
#include <limbeck/nn/model_graph.h>

#include <algorithm>
#include <map>
#include <regex>

#include <limbeck/autograd/arithmetic.h>
#include <limbeck/autograd/concat.h>
#include <limbeck/autograd/swiglu.h>
#include <limbeck/core/trace.h>
#include <limbeck/nn/fused_layer.h>
#include <limbeck/nn/recompute.h>

namespace limbeck {
namespace {

const char* join_name(Join join) {
  constexpr const char* kNames[] = {"add", "mul", "concat", "swiglu"};
  return kNames[static_cast<int>(join)];
}

Shape concat_shape(const std::vector<Shape>& shapes) {
  std::vector<std::int64_t> dims(shapes[0].begin(), shapes[0].end());
  for (std::size_t i = 1; i < shapes.size(); ++i) {
    const Shape& shape = shapes[i];
    LIMBECK_CHECK(shape.rank() == shapes[0].rank() && shape.rank() >= 1 &&
                      std::equal(shape.begin(), shape.end() - 1, shapes[0].begin()),
                  "concat: inputs have shapes ", shapes[0], " and ", shape,
                  "; expected them equal but for the last axis");
    dims.back() += shape[-1];
  }
  return Shape(std::span<const std::int64_t>(dims));
}

Shape join_shape(Join join, const std::vector<Shape>& shapes) {
  if (join == Join::concat) return concat_shape(shapes);
  for (const Shape& shape : shapes)
    LIMBECK_CHECK(shape == shapes[0], join_name(join), ": inputs have shapes ", shapes[0], " and ",
                  shape, "; expected them equal");
  return shapes[0];
}

Variable join_values(Join join, const std::vector<Variable>& values) {
  if (join == Join::concat) return concat(values, values[0].shape().rank() - 1);
  if (join == Join::swiglu) return swiglu(values[0], values[1]);
  Variable y = values[0];
  for (std::size_t i = 1; i < values.size(); ++i)
    y = join == Join::add ? add(y, values[i]) : mul(y, values[i]);
  return y;
}

std::regex parse_pattern(const std::string& pattern) {
  try {
    return std::regex(pattern);
  } catch (const std::regex_error& e) {
    throw std::invalid_argument("ModelGraph: '" + pattern +
                                "' is no regular expression: " + e.what());
  }
}

}  // namespace

/// The values a pass still needs.
class ModelGraph::Values {
 public:
  Values(std::size_t nodes, std::size_t input, const Variable& x)
      : input_(input), x_(x), values_(nodes) {}
  Variable& operator[](std::size_t i) { return i == input_ ? x_ : values_.at(i); }

 private:
  std::size_t input_;
  Variable x_;
  std::vector<Variable> values_;
};

std::size_t ModelGraph::resolve(const std::string& from, const std::string& reader) const {
  if (from.empty()) return nodes_.empty() ? kModelInput : nodes_.size() - 1;
  if (from == kInput) return kModelInput;
  for (std::size_t i = nodes_.size(); i-- > 0;)
    if (nodes_[i].name == from) return i;
  throw std::invalid_argument(detail::concat("ModelGraph: layer '", reader, "' reads '", from,
                                             "'; expected \"input\" or the name of an earlier "
                                             "layer"));
}

void ModelGraph::append(Node node) {
  LIMBECK_CHECK(node.name != kInput, "ModelGraph: a layer is named 'input', which is the model's ",
                "input; expected another name");
  for (const Node& other : nodes_)
    LIMBECK_CHECK(other.name != node.name, "ModelGraph: two layers are named '", node.name,
                  "'; expected different names");
  nodes_.push_back(std::move(node));
  find_last_readers();
}

void ModelGraph::add(std::unique_ptr<Module> layer, std::string name, const std::string& from) {
  if (name.empty()) name = std::to_string(nodes_.size());
  Node node;
  node.from = {resolve(from, name)};
  node.name = std::move(name);
  node.layer = std::move(layer);
  append(std::move(node));
}

void ModelGraph::add(Join join, const std::vector<std::string>& from, std::string name) {
  if (name.empty()) name = std::to_string(nodes_.size());
  LIMBECK_CHECK(from.size() >= 2, "ModelGraph: layer '", name, "' (", join_name(join), ") reads ",
                from.size(), " inputs; expected at least 2");
  LIMBECK_CHECK(join != Join::swiglu || from.size() == 2, "ModelGraph: layer '", name,
                "' (swiglu) reads ", from.size(), " inputs; expected 2");
  Node node;
  for (const std::string& input : from) node.from.push_back(resolve(input, name));
  node.name = std::move(name);
  node.join = join;
  append(std::move(node));
}

/// A value's last reader is found by walking backwards; the last node's own value is the result.
void ModelGraph::find_last_readers() {
  std::map<std::size_t, std::size_t> readers;
  for (std::size_t i = nodes_.size(); i-- > 0;) {
    Node& node = nodes_[i];
    node.done.clear();
    for (const std::size_t input : node.from)
      if (readers[input]++ == 0) node.done.push_back(input);
  }
  for (std::size_t i = 0; i < nodes_.size(); ++i) nodes_[i].fused = fused_after(i, readers);
}

std::size_t ModelGraph::fused_after(std::size_t i,
                                    std::map<std::size_t, std::size_t>& readers) const {
  const auto only_next_reads = [&](std::size_t node) {
    if (node + 1 >= nodes_.size() || readers[node] != 1) return false;
    const std::vector<std::size_t>& from = nodes_[node + 1].from;
    return std::find(from.begin(), from.end(), node) != from.end();
  };
  if (!only_next_reads(i)) return 0;
  const Module* layer = nodes_[i].layer.get();
  const Node& next = nodes_[i + 1];
  if (next.layer) return runs_with(layer, activation_of(next.layer.get())) ? 1 : 0;
  const bool sum = next.join == Join::add && next.from.size() == 2 && only_next_reads(i + 1);
  return sum && runs_with_sum(layer, activation_of(nodes_[i + 2].layer.get())) ? 2 : 0;
}

std::vector<std::size_t> ModelGraph::find(const std::string& pattern) const {
  const std::regex expression = parse_pattern(pattern);
  std::vector<std::size_t> found;
  for (std::size_t i = 0; i < nodes_.size(); ++i)
    if (std::regex_match(nodes_[i].name, expression)) found.push_back(i);
  LIMBECK_CHECK(!found.empty(), "ModelGraph: no layer is named '", pattern,
                "'; the last one is named '", nodes_.empty() ? kInput : nodes_.back().name, "'");
  return found;
}

Variable ModelGraph::forward(const Variable& x, Context& context) {
  return forward(x, context, Pass{});
}

Variable ModelGraph::forward(const Variable& x, Context& context,
                             const std::vector<std::size_t>& taps,
                             const std::function<void(std::size_t, const Variable&)>& tap) {
  return forward(x, context, Pass{.taps = taps, .tap = tap});
}

namespace {

PackedWeight packed_weight(const ModelGraph::Pass& pass, std::size_t node) {
  if (!pass.packed) return {};
  const auto packed = pass.packed->find(node);
  return packed == pass.packed->end() ? PackedWeight() : packed->second;
}

/// Whether one of nodes [first, last) is tapped.
bool tapped(const std::vector<std::size_t>& taps, std::size_t first, std::size_t last) {
  const auto next = std::lower_bound(taps.begin(), taps.end(), first);
  return next != taps.end() && *next < last;
}

}  // namespace

/// The last node of the op of node i, which has no tap before its end and none after i of which
/// starts(node) says that it starts what is computed again.
template <class Starts>
std::size_t ModelGraph::end_of(std::size_t i, const std::vector<std::size_t>& taps,
                               Starts starts) const {
  const std::size_t end = i + nodes_.at(i).fused;
  if (tapped(taps, i, end)) return i;
  for (std::size_t node = i + 1; node <= end; ++node)
    if (starts(node)) return i;
  return end;
}

std::size_t ModelGraph::op_end(std::size_t i, const std::vector<std::size_t>& taps) const {
  for (const auto& segment : segments_)
    if (segment->first <= i && i < segment->last()) return kModelInput;
  return end_of(i, taps, [&](std::size_t node) { return segment_at(node); });
}

Variable ModelGraph::forward(const Variable& x, Context& context, const Pass& pass) {
  Values values(nodes_.size(), kModelInput, x);
  if (nodes_.empty()) return x;
  const auto recomputed = [&](std::size_t i) {
    const auto* segment = segment_at(i);
    return segment && !tapped(pass.taps, i, (*segment)->last() - 1) ? segment : nullptr;
  };
  const std::size_t count = nodes_.size() - (pass.without_last ? 1 : 0);
  for (std::size_t i = 0; i < count; ++i) {
    if (const std::size_t taken = take(i, pass, values); taken != kModelInput) {
      i = taken;
    } else if (const auto* segment = recomputed(i)) {
      const std::size_t input = i == 0 ? kModelInput : i - 1, last = (*segment)->last();
      const Variable before = values[input];
      for (; i < last; ++i)
        for (const std::size_t done : nodes_[i].done)
          if (done == input) values[input] = Variable();
      i = last - 1;
      values[i] = run(*segment, before, context);
    } else {
      const std::size_t end = end_of(i, pass.taps, recomputed);
      compute(nodes_, 0, i, end, values, context, packed_weight(pass, i));
      i = end;
    }
    if (tapped(pass.taps, i, i + 1)) pass.tap(i, values[i]);
  }
  return values[pass.without_last ? nodes_.back().from[0] : count - 1];
}

/// Takes the value of the op at node i from those given; returns its last node, or kModelInput.
std::size_t ModelGraph::take(std::size_t i, const Pass& pass, Values& values) const {
  for (std::size_t end = i; end <= i + nodes_[i].fused; ++end) {
    const auto given = pass.given.find(end);
    if (given == pass.given.end()) continue;
    for (std::size_t node = i; node <= end; ++node)
      for (const std::size_t input : nodes_[node].done) values[input] = Variable();
    values[end] = given->second;
    return end;
  }
  return kModelInput;
}

namespace {

/// "fc1", or "fc1+relu1" of two that run as one op; empty when nobody listens.
template <class Nodes>
std::string scope_name(const Nodes& nodes, std::size_t i, std::size_t end) {
  if (!traces(TraceKind::node)) return {};
  std::string name = nodes[i].name;
  while (i < end) name += "+" + nodes[++i].name;
  return name;
}

}  // namespace

/// Computes nodes i to `end` of `nodes`, the first of which is `first`, as one op.
void ModelGraph::compute(std::span<const Node> nodes, std::size_t first, std::size_t i,
                         std::size_t end, Values& values, Context& context,
                         const PackedWeight& packed) {
  const Node& node = nodes[i - first];
  std::vector<Variable> inputs;  // of a fused op its layer's, then what is added
  for (std::size_t part = i; part <= end; ++part)
    for (const std::size_t input : nodes[part - first].from)
      if (part == i || input != part - 1) inputs.push_back(values[input]);
  for (std::size_t part = i; part <= end; ++part)
    for (const std::size_t input : nodes[part - first].done) values[input] = Variable();
  const TraceScope scope(scope_name(nodes, i - first, end - first), TraceKind::node);
  if (end > i || !packed.empty())
    values[end] =
        forward_fused(*node.layer, inputs[0], context,
                      end == i ? Activation::none : activation_of(nodes[end - first].layer.get()),
                      inputs.size() > 1 ? inputs[1] : Variable(), packed);
  else
    values[i] =
        node.layer ? node.layer->forward(inputs[0], context) : join_values(node.join, inputs);
}

/// A pass over a segment, of which only x and the result are kept.
Variable ModelGraph::run(const std::shared_ptr<const Segment>& segment, const Variable& x,
                         Context& context) {
  std::vector<Variable> parameters;
  for (const Node& node : segment->nodes)
    if (node.layer)
      for (const NamedParameter& p : node.layer->parameters()) parameters.push_back(p.value);
  return limbeck::recompute(x, parameters, context, [segment](const Variable& in, Context& again) {
    const std::size_t first = segment->first, last = segment->last();
    Values values(last, first == 0 ? kModelInput : first - 1, in);
    for (std::size_t i = first, end; i < last; i = end + 1) {
      end = i + segment->nodes[i - first].fused;
      compute(segment->nodes, first, i, end, values, again);
    }
    return values[last - 1];
  });
}

const std::shared_ptr<const ModelGraph::Segment>* ModelGraph::segment_at(std::size_t i) const {
  for (const auto& segment : segments_)
    if (segment->first == i) return &segment;
  return nullptr;
}

void ModelGraph::recompute(std::size_t first, std::size_t last) {
  LIMBECK_CHECK(first < last && last <= nodes_.size(), "ModelGraph: nodes ", first, " to ", last,
                " of ", nodes_.size(), " are to be computed again; expected some of them");
  const std::size_t input = first == 0 ? kModelInput : first - 1;
  for (std::size_t i = 0; i < nodes_.size(); ++i)
    for (const std::size_t from : nodes_[i].from) {
      const bool reader_inside = first <= i && i < last;
      const bool inside = first <= from && from < last && from != kModelInput;
      LIMBECK_CHECK(!reader_inside || inside || from == input, "ModelGraph: layer '",
                    nodes_[i].name, "' is computed again and reads '",
                    from == kModelInput ? kInput : nodes_[from].name,
                    "'; expected a layer that is too, or the one just before them");
      LIMBECK_CHECK(reader_inside || !inside || from == last - 1, "ModelGraph: layer '",
                    nodes_[i].name, "' reads '", nodes_[from].name,
                    "', which is computed again; expected to read only the last such layer");
    }
  for (const auto& other : segments_)
    LIMBECK_CHECK(last <= other->first || other->last() <= first, "ModelGraph: layer '",
                  nodes_[std::max(first, other->first)].name,
                  "' is to be computed again twice; expected once");
  Segment segment{first,
                  {nodes_.begin() + static_cast<std::ptrdiff_t>(first),
                   nodes_.begin() + static_cast<std::ptrdiff_t>(last)}};
  for (std::size_t i = first; i < last; ++i)  // none with what comes after the segment
    if (i + nodes_[i].fused >= last) segment.nodes[i - first].fused = 0;
  segments_.push_back(std::make_shared<const Segment>(std::move(segment)));
}

std::string ModelGraph::describe(std::size_t i) const {
  const Node& node = nodes_.at(i);
  return node.layer ? node.layer->describe() : join_name(node.join);
}

Shape ModelGraph::node_shape(std::size_t i, const Shape& input,
                             const std::vector<Shape>& before) const {
  const Node& node = nodes_.at(i);
  std::vector<Shape> shapes;
  for (const std::size_t from : node.from)
    shapes.push_back(from == kModelInput ? input : before.at(from));
  return node.layer ? node.layer->output_shape(shapes[0]) : join_shape(node.join, shapes);
}

std::vector<Shape> ModelGraph::node_shapes(const Shape& input) const {
  std::vector<Shape> shapes;
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    try {
      shapes.push_back(node_shape(i, input, shapes));
    } catch (const std::invalid_argument& e) {
      throw std::invalid_argument("layer '" + nodes_[i].name + "': " + e.what());
    }
  }
  return shapes;
}

Shape ModelGraph::output_shape(const Shape& input) const {
  return nodes_.empty() ? input : node_shapes(input).back();
}

std::vector<NamedParameter> ModelGraph::parameters() {
  std::vector<NamedParameter> list;
  for (const Node& node : nodes_) {
    if (!node.layer) continue;
    for (NamedParameter& p : node.layer->parameters()) {
      p.name = node.name + "." + p.name;
      list.push_back(std::move(p));
    }
  }
  return list;
}

std::vector<NamedBuffer> ModelGraph::buffers() {
  std::vector<NamedBuffer> list;
  for (const Node& node : nodes_) {
    if (!node.layer) continue;
    for (const NamedBuffer& b : node.layer->buffers())
      list.push_back({node.name + "." + b.name, b.value});
  }
  return list;
}

std::string ModelGraph::describe() const {
  std::string text = "ModelGraph(";
  for (std::size_t i = 0; i < nodes_.size(); ++i) text += (i ? ", " : "") + describe(i);
  return text + ")";
}

}  // namespace limbeck
