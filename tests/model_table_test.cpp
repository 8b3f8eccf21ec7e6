// SPDX-License-Identifier: Apache-2.0
// Tests of what a model's layers cost.
#include <limbeck/tools/model_table.h>

#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

// conv2d: 3x3x2 weights and a bias for each of 4 channels = 76 parameters, 2*72 FLOPs at each of
// 5x5 positions; linear: 4*25 inputs to 3.
TEST(ModelTable, CostsByHand) {
  const std::vector<LayerCost> costs =
      layer_costs({{5, 5, 2},
                   {{.type = "conv2d", .name = "conv", .out = 4, .kernel = 3, .padding = 1},
                    {.type = "relu"},
                    {.type = "add", .from = {"conv", "1"}},
                    {.type = "linear", .name = "fc", .out = 3}}});
  ASSERT_EQ(costs.size(), 4u);
  EXPECT_EQ(costs[0].name, "conv");
  EXPECT_EQ(costs[0].output, Shape({5, 5, 4}));
  EXPECT_EQ(costs[0].parameters, 76);
  EXPECT_EQ(costs[0].flops, 2 * 72 * 25);
  EXPECT_EQ(costs[0].activation_bytes, 4 * 100);
  EXPECT_EQ(costs[1].flops + costs[2].flops + costs[2].parameters, 0);
  EXPECT_EQ(costs[2].layer, "add");
  EXPECT_EQ(costs[0].input_bytes, 4 * 50);
  EXPECT_EQ(costs[2].input_bytes, 4 * 200);
  EXPECT_TRUE(costs[0].reads_input);
  EXPECT_FALSE(costs[1].reads_input);
  EXPECT_EQ(costs[3].parameters, 303);
  EXPECT_EQ(costs[3].flops, 2 * 300);
}

TEST(ModelTable, GroupsTransposesAndTiedWeightsByHand) {
  const std::vector<LayerCost> images = layer_costs(
      {{4, 4, 2},
       {{.type = "conv2d",
         .out = 2,
         .bias = false,
         .kernel = 3,
         .options = {{"groups", std::int64_t{2}}}},
        {.type = "conv_transpose2d", .out = 3, .bias = false, .kernel = 2, .stride = 2}}});
  EXPECT_EQ(images[0].flops, 2 * 18 * 4);      // 9 weights for each of 2 channels, 2x2 positions
  EXPECT_EQ(images[1].flops, 2 * 2 * 12 * 4);  // each input of 2 channels meets 2x2x3 weights
  const std::vector<LayerCost> tied =
      layer_costs({{4},
                   {{.type = "linear", .name = "a", .out = 5, .bias = false},
                    {.type = "linear", .name = "b", .out = 4, .bias = false},
                    {.type = "tied_linear", .options = {{"to", std::string("a")}}}}});
  EXPECT_EQ(tied[2].parameters, 0);
  EXPECT_EQ(tied[2].flops, 2 * 4 * 5);
}

TEST(ModelTable, TotalsStandInTheLastRow) {
  const std::string table =
      model_table({{6}, {{.type = "linear", .out = 4}, {.type = "linear", .out = 2}}});
  const std::string last = table.substr(table.rfind('\n', table.size() - 2) + 1);
  for (const char* part : {"total", " 38 ", " 64 ", " 24"})  // 28 + 10, 48 + 16, 16 + 8
    EXPECT_NE(last.find(part), std::string::npos) << part << " in\n" << table;
  EXPECT_NE(table.find("Linear(6, 4)"), std::string::npos);
}

TEST(ModelTable, Rejections) {
  expect_error(
      [] {
        model_table({{6}, {{.type = "conv2d", .out = 2, .kernel = 1}}});
      },
      "layer 0 (conv2d): input has shape (1,6)");
}

}  // namespace
}  // namespace limbeck::testing
