// SPDX-License-Identifier: Apache-2.0
// Tests of renaming, transposing and joining the tensors of a weight file.
#include <limbeck/nn/name_map.h>

#include <map>

#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

using Values = std::vector<double>;

SafetensorsFile file_of(const std::vector<std::pair<std::string, Tensor>>& tensors) {
  return {tensors, {{"format", "pt"}}};
}

std::map<std::string, Tensor> renamed(const SafetensorsFile& file,
                                      const std::vector<NameRule>& rules) {
  const SafetensorsFile result = rename_weights(file, rules);
  EXPECT_EQ(result.metadata, file.metadata);
  return {result.tensors.begin(), result.tensors.end()};
}

TEST(NameMap, TheFirstRuleThatMatchesTheWholeNameCounts) {
  const Tensor t = Tensor::full({2}, 1);
  const auto found = renamed(
      file_of({{"h.0.attn.bias", t}, {"h.0.ln.weight", t}, {"h.11.ln.weight", t}, {"wte", t}}),
      {{.match = R"(h\.\d+\.attn\.bias)"},
       {.match = R"(h\.(\d+)\.ln\.(.*))", .to = "block$1.norm.$2"},
       {.match = ".*ln.*", .to = "never"},
       {.match = "te", .to = "never"}});
  ASSERT_EQ(found.size(), 3u);
  EXPECT_TRUE(found.contains("block0.norm.weight"));
  EXPECT_TRUE(found.contains("block11.norm.weight"));
  EXPECT_TRUE(found.contains("wte"));
}

TEST(NameMap, TransposesMatrices) {
  for (DType dtype : {DType::f32, DType::bf16, DType::f64}) {
    const Tensor t = Tensor::from(Values{1, 2, 3, 4, 5, 6}, {2, 3}).to(dtype);
    const auto found =
        renamed(file_of({{"c_fc", t}}), {{.match = "c_fc", .to = "fc", .transpose = true}});
    EXPECT_EQ(found.at("fc").shape(), Shape({3, 2}));
    EXPECT_EQ(to_doubles(found.at("fc")), (Values{1, 4, 2, 5, 3, 6}));
  }
}

// Three matrices of 1, 2 and 1 rows, and their biases, in the order of the parts and not of names.
TEST(NameMap, JoinsPartsInTheirOrder) {
  const auto part = [](Values v, Shape shape) { return Tensor::from(v, shape); };
  const auto found = renamed(file_of({{"key.weight", part({3, 4, 5, 6}, {2, 2})},
                                      {"query.weight", part({1, 2}, {1, 2})},
                                      {"value.weight", part({7, 8}, {1, 2})}}),
                             {{.match = "query.(.*)", .to = "qkv.$1", .part = 0},
                              {.match = "key.(.*)", .to = "qkv.$1", .part = 1},
                              {.match = "value.(.*)", .to = "qkv.$1", .part = 2}});
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found.at("qkv.weight").shape(), Shape({4, 2}));
  EXPECT_EQ(to_doubles(found.at("qkv.weight")), (Values{1, 2, 3, 4, 5, 6, 7, 8}));
}

TEST(NameMap, RejectsWhatDoesNotFit) {
  const SafetensorsFile two =
      file_of({{"a", Tensor::full({2}, 1)}, {"b", Tensor::full({2, 2}, 1)}});
  const auto expect_rejected = [&](const std::vector<NameRule>& rules, const std::string& part) {
    expect_error([&] { rename_weights(two, rules); }, part);
  };
  expect_rejected({{.match = "("}}, "name map: '(' is no regular expression: ");
  expect_rejected({{.match = "a", .to = "b"}}, "'a' and 'b' both become 'b'");
  expect_rejected({{.match = "a", .to = "c", .transpose = true}},
                  "'a' (2) is to be transposed; expected a matrix");
  expect_rejected({{.match = "a", .to = "c", .part = 1}}, "'c' lacks part 0; it has part 1, 'a'");
  expect_rejected({{.match = "[ab]", .to = "c", .part = 0}}, "'a' and 'b' both become 'c'");
  expect_rejected({{.match = "a", .to = "c", .part = 0}, {.match = "b", .to = "c", .part = 1}},
                  "parts of 'c' are 'a' (2) and 'b' (2,2); expected equal dtypes and shapes");
}

}  // namespace
}  // namespace limbeck::testing
