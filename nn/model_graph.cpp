// SPDX-License-Identifier: Apache-2.0
#include <limbeck/nn/model_graph.h>

#include <algorithm>
#include <map>
#include <regex>

#include <limbeck/autograd/arithmetic.h>
#include <limbeck/autograd/concat.h>
#include <limbeck/nn/activation.h>
#include <limbeck/nn/linear.h>

namespace limbeck {
namespace {

const char* join_name(Join join) {
  return join == Join::add ? "add" : join == Join::mul ? "mul" : "concat";
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

/// The values a forward pass still needs.
class Live {
 public:
  Live(const Variable& x, std::size_t nodes) : input_(x), values_(nodes) {}
  Variable& operator[](std::size_t i) { return i < values_.size() ? values_[i] : input_; }

 private:
  Variable input_;
  std::vector<Variable> values_;
};

}  // namespace

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
  for (std::size_t i = 0; i < nodes_.size(); ++i)
    nodes_[i].fused =
        i + 1 < nodes_.size() && readers[i] == 1 && dynamic_cast<Linear*>(nodes_[i].layer.get()) &&
        dynamic_cast<ActivationLayer*>(nodes_[i + 1].layer.get()) && nodes_[i + 1].from[0] == i;
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
  return forward(x, context, {}, nullptr);
}

Variable ModelGraph::forward(const Variable& x, Context& context,
                             const std::vector<std::size_t>& taps,
                             const std::function<void(std::size_t, const Variable&)>& tap) {
  Live live(x, nodes_.size());
  const auto tapped = [&](std::size_t i) {
    return std::binary_search(taps.begin(), taps.end(), i);
  };
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    const Node& node = nodes_[i];
    const std::size_t result = node.fused && !tapped(i) ? i + 1 : i;
    std::vector<Variable> inputs;
    for (const std::size_t input : node.from) inputs.push_back(live[input]);
    for (const std::size_t input : node.done) live[input] = Variable();
    if (result != i)
      live[result] =
          static_cast<Linear&>(*node.layer)
              .forward_fused(inputs[0],
                             static_cast<ActivationLayer&>(*nodes_[result].layer).activation());
    else
      live[i] =
          node.layer ? node.layer->forward(inputs[0], context) : join_values(node.join, inputs);
    i = result;
    if (tapped(i)) tap(i, live[i]);
    const bool last = i + 1 == nodes_.size();
    if (last) return live[i];
  }
  return x;
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
