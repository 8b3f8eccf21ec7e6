// SPDX-License-Identifier: Apache-2.0
// Tests of which layers of two models are alike.
#include <limbeck/distill/layer_similarity.h>

#include <limbeck/distill/effective_rank.h>
#include <limbeck/distill/image_source.h>
#include <limbeck/distill/layer_tap.h>
#include <limbeck/distill/token_source.h>
#include <limbeck/nn/model.h>
#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

LayerSpec layer(const std::string& type, const std::string& name, std::int64_t out = 0) {
  LayerSpec spec;
  spec.type = type;
  spec.name = name;
  spec.out = out;
  return spec;
}

std::unique_ptr<ModelGraph> mlp(std::int64_t width, std::uint64_t seed,
                                Device device = Device::cpu()) {
  LayerSpec dropout = layer("dropout", "drop");
  dropout.p = 0.5;
  return build_model(
      {{2, 3, 1},
       {layer("linear", "fc1", width), layer("tanh", "act"), dropout, layer("linear", "fc2", 4)}},
      seed, DType::f32, device);
}

TensorSource images(std::int64_t n, Device device = Device::cpu()) {
  return {Tensor::from(random_values(n * 6), {n, 2, 3, 1}).to(DType::f32).to(device),
          Tensor::zeros({n}, DType::i32, device), 4, Preprocess{.scale = 1}};
}

TEST(LayerSimilarity, ATwinIsAlikeOnTheDiagonal) {
  const auto model = mlp(5, 1), twin = mlp(5, 1);
  TensorSource data = images(20), again = images(20);
  for (const CkaKind kind : {CkaKind::linear, CkaKind::rbf, CkaKind::unbiased}) {
    const LayerSimilarity found = compare_layers(*model, data, *twin, again, {.kind = kind});
    EXPECT_EQ(found.student, (std::vector<std::string>{"fc1", "act", "fc2"}));  // not "drop"
    EXPECT_EQ(found.student, found.teacher);
    EXPECT_EQ(found.samples, 20);
    ASSERT_EQ(found.cka.shape(), (Shape{3, 3}));
    for (std::int64_t i = 0; i < 3; ++i) EXPECT_NEAR(found.cka.data<double>()[i * 4], 1, 1e-12);
    EXPECT_EQ(found.student_rank, found.teacher_rank);
  }
}

// The matrix is CKA of the layers' outputs, computed here by hand.
TEST(LayerSimilarity, IsCkaOfTheTaps) {
  const auto student = mlp(3, 1), teacher = mlp(7, 2);
  TensorSource data = images(12), again = images(12);
  const LayerSimilarity found = compare_layers(*student, data, *teacher, again,
                                               {.student_layers = "act", .teacher_layers = "fc."});
  EXPECT_EQ(found.student, std::vector<std::string>{"act"});
  EXPECT_EQ(found.teacher, (std::vector<std::string>{"fc1", "fc2"}));
  const auto tap = [](ModelGraph& model, std::size_t i) {
    Context context;
    Tensor value;
    TensorSource source = images(12);
    source.begin_epoch({0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, 0);
    model.forward(Variable(source.fetch(0, 12, 0).x), context, {i},
                  [&](std::size_t, const Variable& v) { value = v.value(); });
    return value;
  };
  const Tensor act = tap(*student, 1), fc1 = tap(*teacher, 0), fc2 = tap(*teacher, 3);
  EXPECT_NEAR(found.cka.data<double>()[0], cka(act, fc1, CkaKind::unbiased), 1e-12);
  EXPECT_NEAR(found.cka.data<double>()[1], cka(act, fc2, CkaKind::unbiased), 1e-12);
  EXPECT_NEAR(found.student_rank[0], effective_rank(act), 1e-12);
}

TEST(LayerSimilarity, BatchesAndSpread) {
  const auto student = mlp(3, 1), teacher = mlp(7, 2);
  TensorSource data = images(50), again = images(50);
  const LayerSimilarity some =
      compare_layers(*student, data, *teacher, again, {.samples = 22, .batch = 10});
  EXPECT_EQ(some.samples, 20);  // the last two samples are too few for a batch
  const LayerSimilarity all = compare_layers(*student, data, *teacher, again, {});
  EXPECT_EQ(all.samples, 50);
  const LayerSimilarity parts = compare_layers(*student, data, *teacher, again, {.batch = 10});
  EXPECT_EQ(parts.samples, 50);
  // Unbiased: batches of 10 come near what all 50 say, within their noise.
  expect_close(to_doubles(parts.cka), to_doubles(all.cka), 0.15);
}

std::unique_ptr<ModelGraph> reader(std::int64_t width, std::uint64_t seed) {
  LayerSpec embedding = layer("embedding", "embedding");
  embedding.options.set("num", std::int64_t{11});
  embedding.options.set("dim", width);
  return build_model({{8}, {embedding, layer("linear", "head", 11)}}, seed);
}

TEST(LayerSimilarity, StepsOfText) {
  std::vector<std::uint32_t> tokens;
  for (std::uint32_t i = 0; i < 100; ++i) tokens.push_back(i * i % 11);
  TokenSource data(token_row(tokens), 8, 11), again(token_row(tokens), 8, 11);
  const auto student = reader(3, 1), teacher = reader(6, 2);
  const LayerSimilarity found = compare_layers(*student, data, *teacher, again, {.samples = 60});
  EXPECT_EQ(found.samples, 60);
  EXPECT_EQ(found.teacher, (std::vector<std::string>{"embedding", "head"}));
  const LayerSimilarity all = compare_layers(*student, data, *teacher, again, {.samples = 999});
  EXPECT_EQ(all.samples, 99);  // the last window's missing steps do not count
  data.begin_epoch(spread_samples(13, 13), 0);
  const Batch batch = data.fetch(0, 13, 0);
  const auto steps = [&](ModelGraph& model, std::size_t layer) {
    const Tensor tap = layer_tap(model, layer, batch);
    return tap.reshape({104, tap.dim(2)}).rows(0, 99);
  };
  EXPECT_NEAR(all.cka.data<double>()[1],
              cka(steps(*student, 0), steps(*teacher, 1), CkaKind::unbiased), 1e-12);
}

TEST(LayerSimilarity, OnAGpuTheSameWithinRounding) {
  if (cuda_device_count() == 0) GTEST_SKIP() << "no GPU";
  const Device gpu = Device::cuda();
  const auto student = mlp(3, 1), teacher = mlp(7, 2), s = mlp(3, 1, gpu), t = mlp(7, 2, gpu);
  TensorSource data = images(12), again = images(12), moved = images(12, gpu),
               more = images(12, gpu);
  const LayerSimilarity here = compare_layers(*student, data, *teacher, again, {});
  const LayerSimilarity there = compare_layers(*s, moved, *t, more, {});
  expect_close(to_doubles(there.cka), to_doubles(here.cka), 1e-5);  // f32 layers
}

TEST(SpreadSamples, AreEvenlySpread) {
  EXPECT_EQ(spread_samples(3, 10), (std::vector<std::int32_t>{0, 3, 6}));
  EXPECT_EQ(spread_samples(4, 4), (std::vector<std::int32_t>{0, 1, 2, 3}));
  EXPECT_TRUE(spread_samples(0, 4).empty());
}

TEST(LayerSimilarity, Rejections) {
  const auto model = mlp(3, 1);
  TensorSource data = images(6), few = images(3), other = images(7);
  expect_error([&] { compare_layers(*model, data, *model, data, {.samples = 3}); },
               "compare_layers: 3 samples in batches of 256; expected at least 4");
  expect_error([&] { compare_layers(*model, few, *model, few, {}); },
               "compare_layers: the data has 3 samples; expected at least 4");
  expect_error([&] { compare_layers(*model, data, *model, other, {}); },
               "compare_layers: 6 samples for the student, 7 for the teacher");
  expect_error([&] { compare_layers(*model, data, *model, data, {.student_layers = "fc9"}); },
               "ModelGraph: no layer is named 'fc9'");
}

}  // namespace
}  // namespace limbeck::testing
