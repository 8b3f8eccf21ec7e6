// SPDX-License-Identifier: Apache-2.0
// What a frozen model knows of every sample, computed before a run.
#include <limbeck/distill/knowledge.h>

#include <numeric>

#include <limbeck/distill/hint.h>
#include <limbeck/tests/device_test.h>
#include <limbeck/tests/small_run.h>

namespace limbeck::testing {
namespace {

constexpr std::int64_t kSamples = 520;  // more than are looked at together

struct Looked {
  Tensor images = Tensor::empty({kSamples, 28, 28, 1}, DType::u8);
  Tensor labels = Tensor::empty({kSamples}, DType::i32);
  std::unique_ptr<ModelGraph> graph = build_model(
      {{28, 28, 1},
       {layer("linear", 6), layer("relu"), layer("dropout", 0, 0.5), layer("linear", 10)}},
      1);
  Participant model = {.name = "big", .model = graph.get()};  // trainable: read as frozen
  std::unique_ptr<TensorSource> data;

  explicit Looked(const Augment& augment = {}) {
    draw_synthetic_digits(images, labels, 1);
    data = std::make_unique<TensorSource>(images, labels, 10, Preprocess{}, augment, 1);
  }
  /// The layer's taps of all samples at once, in their order.
  Tensor taps(const std::string& layer) {
    std::vector<std::int32_t> order(kSamples);
    std::iota(order.begin(), order.end(), 0);
    data->begin_epoch(order, 0);
    Participant frozen = model;
    frozen.state = ModelState::frozen_eval;
    return look(frozen, data->fetch(0, kSamples, 0), {.layers = {layer}}).taps.at(layer).value();
  }
};

TEST(Knowledge, CodesAreThoseOfAllSamplesAtOnce) {
  Looked l;
  FeatureLesson feature = {"x", "1", 1, std::make_shared<Hint>(Shape{3}, Shape{6})};
  const Tensor codes = encode_all(l.model, *l.data, feature);
  EXPECT_EQ(codes.shape(), (Shape{kSamples, 1, 6}));
  EXPECT_TRUE(same_bytes(codes.reshape({kSamples, 6}), l.taps("1")));
}

TEST(Knowledge, LogitsAreWhatPredictSays) {
  Looked l;
  EXPECT_TRUE(same_bytes(logits_of_all(l.model, *l.data), predict(*l.graph, *l.data)));
}

// 520 samples are fewer than calibration looks at, so they are all of them, in another order: sums
// of 520 numbers in f32 differ by some 520 2^-24.
TEST(Knowledge, CalibrationIsOfTheLayerInEvaluation) {
  Looked l;
  const TapStatistics seen = calibrate(l.model, *l.data, "1"), all = TapStatistics::of(l.taps("1"));
  expect_close(seen.mean, to_doubles(all.mean), 4e-5);
  expect_close(seen.variance, to_doubles(all.variance), 4e-5);
  EXPECT_EQ(calibrate(l.model, *l.data, "1", 0.5).momentum, 0.5);
}

TEST(Knowledge, RefusesSamplesThatChange) {
  Looked l({.vary = {.max_jitter = 2}});
  FeatureLesson feature = {"x", "1", 1, std::make_shared<Hint>(Shape{3}, Shape{6})};
  expect_error([&] { calibrate(l.model, *l.data, "1"); }, "calibrate: the data is augmented");
  expect_error([&] { encode_all(l.model, *l.data, feature); }, "encode_all: the data is augmented");
}

}  // namespace
}  // namespace limbeck::testing
