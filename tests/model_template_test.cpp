// SPDX-License-Identifier: Apache-2.0
// Tests of expressions, groups and repetitions in model files, and of what they build.
#include <limbeck/tools/model_template.h>

#include <limbeck/nn/layer_types.h>
#include <limbeck/tests/device_test.h>
#include <limbeck/tools/json_object.h>
#include <limbeck/tools/model_json.h>

namespace limbeck::testing {
namespace {

using nlohmann::json;

TEST(ModelTemplate, ExpressionsByHand) {
  const Variables v = {{"width", 6}, {"n_2", 4}};
  const std::vector<std::pair<const char*, std::int64_t>> cases = {
      {"7", 7},      {" width ", 6},     {"1+2*3", 7},        {"(1 + 2) * 3", 9}, {"10-2-3", 5},
      {"12/4/3", 1}, {"width*n_2/8", 3}, {"-width+-(2)", -8}, {"7 % 4 * 2", 6},   {"2--3", 5},
  };
  for (const auto& [text, expected] : cases) EXPECT_EQ(evaluate(text, v), expected) << text;
}

TEST(ModelTemplate, ExpressionRejections) {
  const Variables v = {{"width", 6}};
  const auto refuses = [&](const char* text, const char* part) {
    expect_error([&] { evaluate(text, v); }, part);
  };
  refuses("", "${}: expected a number or a variable at \"\"");
  refuses("wide", "${wide}: there is no variable \"wide\"");
  refuses("width 2", "expected an operator at \"2\"");
  refuses("(width", "expected \")\" at \"\"");
  refuses("width/4", "6 / 4 leaves a rest");
  refuses("width/0", "6 / 0 leaves a rest");
  refuses("width%0", "expected a divisor > 0");
  refuses("9223372036854775807+1", "the value is too large");
  refuses("9223372036854775808", "a number is too large");
  refuses("2*", "expected a number or a variable");
  refuses(std::string(1000, '(').c_str(), "too many parentheses");
}

TEST(ModelTemplate, SubstitutesIntegersAndText) {
  const Variables v = {{"i", 2}};
  EXPECT_EQ(substitute("${i+1}", v), json(3));
  EXPECT_EQ(substitute("block${i}.conv${i+1}", v), json("block2.conv3"));
  EXPECT_EQ(substitute({{"a", {"${i}", true}}}, v), json({{"a", {2, true}}}));
  expect_error([&] { substitute("x${i", v); }, "\"x${i\": expected \"}\"");
}

/// "name<from" of every layer, in order.
std::string names(const json& layers, const Variables& variables = {}) {
  std::string text;
  for (const ExpandedLayer& layer : expand_layers(layers, "layers", variables)) {
    text += layer.value.value("name", "-");
    if (layer.value.contains("from"))
      for (const json& from : layer.value["from"]) text += "<" + from.get<std::string>();
    text += " ";
  }
  return text;
}

json parse(const char* text) { return json::parse(text); }

TEST(ModelTemplate, AFlatChainStaysAsItIs) {
  const json layers = parse(R"([{"type":"relu"},{"type":"linear","out":3,"name":"fc"}])");
  const auto expanded = expand_layers(layers, "m.layers", {});
  ASSERT_EQ(expanded.size(), 2u);
  EXPECT_EQ(expanded[0].value, layers[0]);
  EXPECT_EQ(expanded[1].value, layers[1]);
  EXPECT_EQ(expanded[1].path, "m.layers.1");
}

TEST(ModelTemplate, NamedGroupsArePrefixesAndNumberTheirOwn) {
  EXPECT_EQ(names(parse(R"([{"name":"features","layers":[{"type":"relu"},{"type":"tanh"}]},
                            {"type":"relu"},{"name":"fc","type":"relu"}])")),
            "features.0 features.1 1 fc ");
}

TEST(ModelTemplate, RepetitionsCountAndNest) {
  EXPECT_EQ(names(parse(R"([{"repeat":2,"layers":[{"type":"relu"}]},{"type":"tanh"},
                            {"name":"l${i+1}","repeat":"${n}","layers":[
                              {"name":"${j}","repeat":2,"index":"j","layers":[
                                {"name":"c${i*2+j}","type":"relu"}]}]}])"),
                  {{"n", 2}}),
            "- - - l1.0.c0 l1.1.c1 l2.0.c2 l2.1.c3 ");
  EXPECT_EQ(names(parse(R"([{"repeat":0,"layers":[{"type":"relu"}]},{"type":"tanh"}])")), "- ");
}

TEST(ModelTemplate, NamesAreLookedUpFromTheInside) {
  EXPECT_EQ(names(parse(R"([{"name":"a","type":"relu"},
                            {"name":"b","layers":[
                              {"name":"a","type":"relu"},
                              {"name":"c","layers":[
                                {"type":"add","from":["a","input"]},
                                {"type":"relu","from":"0"}]},
                              {"type":"add","from":["input","c.0"]}]},
                            {"type":"add","from":["a","b.a"]}])")),
            "a b.a b.c.0<b.a<b.a b.c.1<b.c.0 b.2<a<b.c.0 2<a<b.a ");
}

TEST(ModelTemplate, TheInputOfARepetitionIsTheOneBefore) {
  EXPECT_EQ(names(parse(R"([{"repeat":2,"layers":[
                              {"type":"relu"},{"type":"add","from":["input",  "${2*i}"]}]}])")),
            "- -<input<0 - -<1<2 ");
}

TEST(ModelTemplate, ARecurrentLayersNumberOfLayersMakesNoGroup) {
  const ModelSpec spec =
      read_model(parse(R"({"layers":[{"type":"lstm","hidden":2,"layers":3}]})"), "m", {4});
  EXPECT_EQ(spec.layers[0].options.integer("layers", 1), 3);
}

TEST(ModelTemplate, Rejections) {
  const auto refuses = [](const char* text, const char* part) {
    expect_error([&] { read_model(parse(text), "m", {4}); }, part);
  };
  refuses(R"({"layers":{}})", "m.layers: is object; expected an array");
  refuses(R"({"layers":[{"repeat":-1,"layers":[]}]})", "m.layers.0.repeat: is -1; expected at");
  refuses(R"({"layers":[{"repeats":1,"layers":[]}]})",
          "m.layers.0.repeats: unknown key; did you mean \"repeat\"?");
  refuses(R"({"layers":[{"repeat":200000,"layers":[{"type":"relu"}]}]})", "more than 100000");
  refuses(R"({"layers":[{"layers":[{"type":"linear","out":"${w}"}]}]})",
          "m.layers.0.layers.0: ${w}: there is no variable \"w\"");
  refuses(R"({"layers":[{"layers":[{"type":"linear","oud":2}]}]})",
          "m.layers.0.layers.0.oud: unknown key; did you mean \"out\"?");
  refuses(R"({"layers":[{"type":"linear"}]})", "m.layers.0.out: is missing");
  refuses(R"({"layers":[{"type":"add","from":[true]}]})", "m.layers.0.from: expected a layer's");
  refuses(R"({"variables":{"w":"x"},"layers":[]})", "m.variables.w: is \"x\"; expected an integer");
  refuses(R"({"input":[5],"layers":[{"type":"relu"}]})", "m.input: is (5); the data has (4)");
  refuses(R"({"input":[0],"layers":[{"type":"relu"}]})", "m.input.0: is 0; expected at least 1");
}

const char* kResidual = R"({"input": ["${width}"], "variables": {"width": 4, "blocks": 2},
  "layers": [
    {"name": "blocks", "layers": [
      {"name": "${i}", "repeat": "${blocks}", "layers": [
        {"type": "linear", "name": "fc1", "out": "${2*width}"}, {"type": "gelu"},
        {"type": "linear", "name": "fc2", "out": "${width}"},
        {"type": "add", "from": ["fc2", "input"]}]}]},
    {"type": "linear", "name": "head", "out": 3, "bias": false}]})";

TEST(ModelTemplate, BuildsAResidualNetwork) {
  const ModelSpec spec = read_model_with_input(parse(kResidual), "");
  const auto model = build_model(spec, 1);
  std::string parameters;
  for (const NamedParameter& p : model->parameters()) parameters += p.name + p.value.shape().str();
  EXPECT_EQ(parameters,
            "blocks.0.fc1.weight(8,4)blocks.0.fc1.bias(8)blocks.0.fc2.weight(4,8)"
            "blocks.0.fc2.bias(4)blocks.1.fc1.weight(8,4)blocks.1.fc1.bias(8)"
            "blocks.1.fc2.weight(4,8)blocks.1.fc2.bias(4)head.weight(3,4)");
  EXPECT_EQ(model->output_shape({2, 4}), Shape({2, 3}));
  Context context;
  EXPECT_EQ(model->forward(Variable(Tensor::full({2, 4}, 1)), context).shape(), Shape({2, 3}));
}

TEST(ModelTemplate, TheWrittenFormIsFlatAndBuildsTheSame) {
  const ModelSpec spec = read_model_with_input(parse(kResidual), "");
  const json flat = write_model(spec);
  EXPECT_EQ(flat["layers"].size(), 9u);
  EXPECT_EQ(flat["layers"][7], parse(R"({"type":"add","name":"blocks.1.3",
                                         "from":["blocks.1.fc2","blocks.0.3"]})"));
  const ModelSpec again = read_model_with_input(flat, "");
  EXPECT_EQ(write_model(again), flat);
  const auto a = build_model(spec, 3), b = build_model(again, 3);
  Context context;
  const Variable x(Tensor::from(random_values(8), {2, 4}).to(DType::f32));
  EXPECT_TRUE(same_bytes(a->forward(x, context).value(), b->forward(x, context).value()));
}

TEST(LayerTypes, EveryNameIsThereOnceWithOneWayToMakeIt) {
  for (const LayerType& type : layer_types()) {
    EXPECT_EQ(find_layer_type(type.name), &type) << type.name;
    EXPECT_NE(type.make == nullptr, !type.join) << type.name;
  }
  EXPECT_EQ(find_layer_type("lienar"), nullptr);
}

TEST(LayerTypes, OptionsAreChecked) {
  const auto refuses = [](const LayerSpec& layer, const char* part) {
    expect_error(
        [&] {
          build_model({{4}, {{.type = "linear", .name = "a", .out = 4}, layer}}, 1);
        },
        part);
  };
  refuses({.type = "linear", .out = 2, .options = {{"groups", std::int64_t{2}}}},
          "layer 1 (linear): unknown option 'groups'; expected out or bias");
  refuses({.type = "relu", .out = 2}, "layer 1 (relu): unknown option 'out'; expected none");
  refuses({.type = "linear", .options = {{"out", 2.5}}},
          "layer 1 (linear): option 'out' has another type; expected an integer");
  refuses({.type = "relu", .from = {"b"}},
          "reads 'b', which is the name of no layer; expected \"input\" or");
  refuses({.type = "relu", .name = "r", .from = {"r"}},
          "layer 1 'r' (relu): reads 'r', which does not come before it; a model has no cycles");
  refuses({.type = "relu", .from = {"a", "input"}}, "reads 2 inputs; expected one");
  refuses({.type = "add", .from = {"a"}}, "layer 1 (add): reads 1 inputs; expected at least 2");
  refuses({.type = "tied_linear", .options = {{"to", std::string("input")}}},
          "'input' has no weight to be tied to");
}

TEST(LayerTypes, ATiedLayerSharesTheWeight) {
  const auto model = build_model({{4},
                                  {{.type = "linear", .name = "a", .out = 4},
                                   {.type = "tied_linear", .options = {{"to", std::string("a")}}}}},
                                 1);
  EXPECT_EQ(model->parameters().size(), 2u);
  EXPECT_EQ(model->output_shape({3, 4}), Shape({3, 4}));
}

}  // namespace
}  // namespace limbeck::testing
