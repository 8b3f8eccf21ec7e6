// SPDX-License-Identifier: Apache-2.0
// BatchNorm and GroupNorm against PyTorch's: in training, which moves statistics, and not.
#include <limbeck/nn/batch_norm.h>
#include <limbeck/nn/group_norm.h>
#include <limbeck/nn/init.h>
#include <limbeck/tests/fixture.h>

namespace limbeck::testing {
namespace {

Context training() { return {.training = true}; }

Tensor buffer(Module& module, const std::string& name) {
  for (const NamedBuffer& b : module.buffers())
    if (b.name == name) return b.value;
  return {};
}

class ChannelNormLayerTest : public DeviceTest {
 protected:
  BatchNorm batch_norm_of(std::int64_t channels, const BatchNormOptions& options = {}) const {
    return BatchNorm(channels, options, dtype(), device());
  }
  void expect_trained_parity(const std::string& name, std::int64_t channels,
                             const BatchNormOptions& options) const {
    const Fixture fixture("channel_norm", name);
    BatchNorm layer = batch_norm_of(channels, options);
    expect_parity(layer, fixture, device(), dtype(), training());
    for (const char* statistic : {"running_mean", "running_var"})
      expect_close(buffer(layer, statistic), to_doubles(fixture["after." + std::string(statistic)]),
                   1e-5, statistic);
    EXPECT_EQ(buffer(layer, "num_batches_tracked").item(), 1);
  }
};
LIMBECK_INSTANTIATE_FULL_PRECISION_TEST(ChannelNormLayerTest);

TEST_P(ChannelNormLayerTest, BatchNormInTrainingAgreesWithPyTorch) {
  expect_trained_parity("rows", 7, {.momentum = 0.3});
  expect_trained_parity("images", 3, {.eps = 1e-3});
  expect_trained_parity("bare", 3, {.affine = false});
}

TEST_P(ChannelNormLayerTest, BatchNormInEvaluationAgreesWithPyTorch) {
  BatchNorm layer = batch_norm_of(3);
  expect_parity(layer, Fixture("channel_norm", "eval"), device(), dtype());
  EXPECT_EQ(buffer(layer, "num_batches_tracked").item(), 0);
}

TEST_P(ChannelNormLayerTest, GroupNormAgreesWithPyTorch) {
  GroupNorm groups(2, 6, 1e-5, true, dtype(), device());
  GroupNorm instances(3, 3, 1e-5, false, dtype(), device());
  expect_parity(groups, Fixture("channel_norm", "groups"), device(), dtype());
  expect_parity(instances, Fixture("channel_norm", "instances"), device(), dtype());
}

TEST_P(ChannelNormLayerTest, TheContextChoosesTheStatistics) {
  // Frozen in training: the running ones, whose pass PyTorch's evaluation is.
  BatchNorm frozen = batch_norm_of(3);
  expect_parity(frozen, Fixture("channel_norm", "eval"), device(), dtype(),
                {.training = true, .statistics = Statistics::running});
  // The batch's in evaluation, as in training but nothing moves.
  BatchNorm batch = batch_norm_of(3, {.eps = 1e-3});
  const Fixture fixture("channel_norm", "images");
  expect_parity(batch, fixture, device(), dtype(), {.statistics = Statistics::batch});
  expect_close(buffer(batch, "running_mean"), to_doubles(fixture["w.running_mean"]), 0);
  EXPECT_EQ(buffer(batch, "num_batches_tracked").item(), 0);
}

TEST(ChannelNormLayer, FilesHoldWhatPyTorchsDo) {
  BatchNorm layer(2), copy(2);
  Context context = training();
  layer.forward(Variable(Tensor::from(random_values(8), {4, 2}).to(DType::f32)), context);
  const SafetensorsFile file = export_weights(layer);
  ASSERT_EQ(file.tensors.size(), 5u);
  EXPECT_EQ(file.tensors[4].first, "num_batches_tracked");
  EXPECT_EQ(file.tensors[4].second.dtype(), DType::i64);
  EXPECT_EQ(file.tensors[4].second.rank(), 0);
  import_weights(copy, file);
  EXPECT_EQ(buffer(copy, "num_batches_tracked").item(), 1);
  EXPECT_TRUE(same_bytes(buffer(copy, "running_var"), buffer(layer, "running_var")));
  SafetensorsFile wrong = file;
  wrong.tensors[4].second = Tensor::zeros({}, DType::i32);
  expect_error([&] { import_weights(copy, wrong); },
               "'num_batches_tracked' has dtype i32 in the file; expected i64");
  SafetensorsFile without = file;  // from before PyTorch counted
  without.tensors.pop_back();
  EXPECT_EQ(import_weights(copy, without), "");
}

TEST(ChannelNormLayer, StartsAsPyTorchsAndDoesNotDecay) {
  BatchNorm batch(3);
  GroupNorm groups(1, 3);
  for (Module* module : {static_cast<Module*>(&batch), static_cast<Module*>(&groups)}) {
    initialize(*module, Init::torch_default, 1);
    ASSERT_EQ(module->parameters().size(), 2u);
    for (const NamedParameter& p : module->parameters()) {
      expect_close(p.value.value(), std::vector<double>(3, p.name == "weight" ? 1 : 0), 0);
      EXPECT_FALSE(p.decay);
    }
  }
  expect_close(buffer(batch, "running_mean"), {0, 0, 0}, 0);
  expect_close(buffer(batch, "running_var"), {1, 1, 1}, 0);
}

TEST(ChannelNormLayer, Rejections) {
  expect_error(
      [] {
        BatchNorm(4).output_shape({2, 3, 5});
      },
      "BatchNorm(4): input has shape (2,3,5); expected (...,4)");
  expect_error([] { BatchNorm(0); }, "BatchNorm: 0 channels; expected >= 1");
  expect_error([] { BatchNorm(2, {.momentum = 2}); }, "BatchNorm: momentum is 2; expected 0 to 1");
  expect_error([] { GroupNorm(2, 4).output_shape({3}); },
               "GroupNorm(2, 4): input has shape (3); expected (N,...,4)");
  expect_error([] { GroupNorm(3, 4); }, "GroupNorm: 3 groups of 4 channels; expected a divisor");
}

}  // namespace
}  // namespace limbeck::testing
