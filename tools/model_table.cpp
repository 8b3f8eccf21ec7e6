// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/model_table.h>

#include <limbeck/tools/report.h>

namespace limbeck {
namespace {

Shape without_batch(const Shape& shape) {
  return Shape(std::span<const std::int64_t>(shape.begin() + 1, shape.end()));
}

/// How often a weight is applied: the positions, of which each has its channels.
std::int64_t positions(const Shape& shape) {
  return shape[-1] == 0 ? 0 : shape.numel() / shape[-1];
}

/// Each element of a weight is one multiply-add at every position of the output; of the input where
/// the convolution is transposed. A table that is looked up multiplies nothing.
std::int64_t flops_of(const std::string& type, Module& layer, const Shape& in, const Shape& out) {
  if (type == "embedding" || type == "position_embedding") return 0;
  if (type == "tied_linear") return 2 * in[-1] * out.numel();
  std::int64_t weights = 0;
  for (const NamedParameter& p : layer.parameters())
    if (p.value.shape().rank() >= 2) weights += p.value.shape().numel();
  const std::int64_t products = 2 * weights * positions(type == "conv_transpose2d" ? in : out);
  // Scores and their mix of values: each a (T,T) product over the channels.
  return type == "self_attention" ? products + 4 * in[1] * in.numel() : products;
}

}  // namespace

std::vector<LayerCost> layer_costs(const ModelSpec& spec) {
  const auto model = build_model(spec, 0);
  const Shape& in = spec.input;
  const Shape one = in.rank() == 3 ? Shape{1, in[0], in[1], in[2]} : Shape{1, in[0]};
  const std::vector<Shape> shapes = model->node_shapes(one);
  std::vector<LayerCost> costs;
  for (std::size_t i = 0; i < model->size(); ++i) {
    LayerCost cost = {model->name(i), model->describe(i), without_batch(shapes[i])};
    cost.activation_bytes = 4 * shapes[i].numel();
    cost.reads_input = true;
    for (const std::size_t from : model->inputs(i)) {
      const bool input = from == ModelGraph::kModelInput;
      cost.input_bytes += 4 * (input ? one : shapes[from]).numel();
      cost.reads_input = cost.reads_input && input;
    }
    if (Module* layer = model->layer(i)) {
      const std::size_t from = model->inputs(i)[0];
      cost.parameters = parameter_count(*layer);
      cost.flops = flops_of(spec.layers[i].type, *layer,
                            from == ModelGraph::kModelInput ? one : shapes[from], shapes[i]);
    }
    costs.push_back(std::move(cost));
  }
  return costs;
}

std::string model_table(const ModelSpec& spec) {
  std::vector<std::vector<std::string>> rows = {
      {"name", "layer", "output", "parameters", "FLOPs", "activation bytes"}};
  LayerCost total = {"total", "", {}};
  const auto add_row = [&](const LayerCost& cost, const std::string& output) {
    rows.push_back({cost.name, cost.layer, output, std::to_string(cost.parameters),
                    std::to_string(cost.flops), std::to_string(cost.activation_bytes)});
  };
  add_row({"input", "", spec.input}, spec.input.str());
  for (const LayerCost& cost : layer_costs(spec)) {
    add_row(cost, cost.output.str());
    total.parameters += cost.parameters;
    total.flops += cost.flops;
    total.activation_bytes += cost.activation_bytes;
  }
  add_row(total, "");
  return format_table(rows);
}

}  // namespace limbeck
