// SPDX-License-Identifier: Apache-2.0
// Steps that are launches of one graph end in the bits of steps that are queued anew, in every
// mode, and ask nothing else of the host.
#include <limbeck/distill/step_graph.h>

#include <algorithm>
#include <array>
#include <iostream>

#include <limbeck/core/device_work.h>
#include <limbeck/core/pool.h>
#include <limbeck/distill/hint.h>
#include <limbeck/distill/token_source.h>
#include <limbeck/distill/trainer.h>
#include <limbeck/nn/model.h>
#include <limbeck/nn/safetensors.h>
#include <limbeck/tests/device_test.h>
#include <limbeck/tests/temporary_folder.h>

namespace limbeck::testing {
namespace {

constexpr Device kGpu = Device::cuda();
constexpr std::int64_t kClasses = 3, kBatch = 8;

LayerSpec layer(const std::string& type, std::int64_t out = 0, LayerOptions options = {}) {
  return {.type = type, .out = out, .options = std::move(options)};
}

Tensor random_ints(std::int64_t n, std::uint32_t below, const Shape& shape, DType dtype) {
  std::vector<std::int32_t> v;
  for (std::int64_t i = 0; i < n; ++i)
    v.push_back(static_cast<std::int32_t>(
        philox_word({3, 0, 0, RngPurpose::data}, static_cast<std::uint64_t>(i)) % below));
  return Tensor::from(v, shape).to(dtype).to(kGpu);
}

/// Three batches to an epoch, the last of four samples, for two epochs: the first of either kind is
/// queued as it is, three whole ones and a short one are launches of two graphs.
struct Training {
  TemporaryFolder folder;
  DType dtype;
  std::unique_ptr<ModelGraph> small, big;
  std::unique_ptr<BatchSource> data;
  Augment augment = {.vary = {.max_jitter = 1, .flip = true}};
  Recipe recipe = {.epochs = 2,
                   .batch = kBatch,
                   .optimizer = AdamwConfig{},
                   .schedule = {.kind = ScheduleKind::cosine, .lr = 0.05}};
  RunOptions options = {.seed = 5, .report_every = 2, .checkpoint_every = 6};
  std::vector<float> losses = {};  // of every step
  std::int64_t launches = 0;

  explicit Training(bool capture, DType d = DType::f32) : dtype(d) {
    options.capture = capture;
    options.checkpoint = folder.file("end.safetensors");
    small = model({layer("linear", 6), layer("relu"), layer("dropout", 0, {{"p", 0.3}}),
                   layer("linear", kClasses)});
    big = model({layer("linear", 10), layer("relu"), layer("linear", kClasses)});
  }

  std::unique_ptr<ModelGraph> model(std::vector<LayerSpec> layers) const {
    return build_model({{4, 4, 1}, std::move(layers)}, 3, dtype, kGpu);
  }
  Participant participant(ModelGraph& of, bool trainable = true) const {
    return {.name = &of == big.get() ? "big" : "small",
            .model = &of,
            .state = trainable ? ModelState::trainable : ModelState::frozen_eval,
            .recipe = recipe,
            .seed = 9};
  }
  void train(std::vector<Participant> participants, std::vector<Lesson> lessons) {
    if (!data)
      data = std::make_unique<TensorSource>(random_ints(20 * 16, 256, {20, 4, 4, 1}, DType::u8),
                                            random_ints(20, 3, {20}, DType::i32), kClasses,
                                            Preprocess{}, augment, options.seed);
    Trainer trainer(std::move(participants), std::move(lessons), *data, options);
    trainer.run(
        [&](const Progress& p) { losses.insert(losses.end(), p.losses.begin(), p.losses.end()); });
    EXPECT_EQ(static_cast<std::int64_t>(losses.size()), trainer.total_steps());
    launches = trainer.launched_steps();
  }
  /// Weights, averages, optimisers, adapters and statistics.
  NamedTensors end() const { return read_safetensors(options.checkpoint).tensors; }
};

class StepGraphTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (cuda_device_count() == 0) GTEST_SKIP() << "no GPU";
  }
  /// The same run with and without a graph, in which so many steps are launches of it.
  static void expect_same(const std::function<void(Training&)>& train, std::int64_t launches = 4,
                          DType dtype = DType::f32) {
    Training direct(false, dtype), captured(true, dtype);
    train(direct);
    train(captured);
    EXPECT_EQ(direct.launches, 0);
    EXPECT_EQ(captured.launches, launches);
    EXPECT_EQ(captured.losses, direct.losses);
    const NamedTensors expected = direct.end(), actual = captured.end();
    ASSERT_EQ(actual.size(), expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) {
      EXPECT_EQ(actual[i].first, expected[i].first);
      EXPECT_TRUE(same_bytes(actual[i].second, expected[i].second)) << expected[i].first;
    }
  }
};

KdLossOptions logits_loss() { return {.tau = 4, .kd_weight = 0.9, .ce_weight = 0.1}; }
Lesson lesson(std::size_t receiver, std::size_t source) {
  return {.receiver = receiver, .sources = {source}, .logits = logits_loss()};
}

TEST_F(StepGraphTest, LabelsWithClippingAndAnAverage) {
  expect_same([](Training& r) {
    SgdConfig sgd = {.momentum = 0.9, .nesterov = true};
    sgd.parameters.gradients.max_norm = 0.1;
    sgd.parameters.groups = {{.match = "0[.]bias", .lr_scale = 0.3}};
    r.recipe.optimizer = sgd;
    r.recipe.ema_decay = 0.9;
    r.recipe.label_smoothing = 0.1;
    r.train({r.participant(*r.small)}, {});
  });
}

TEST_F(StepGraphTest, Forward) {
  expect_same([](Training& r) {
    r.recipe.ema_decay = 0.9;
    r.train({r.participant(*r.small), r.participant(*r.big, false)}, {lesson(0, 1)});
  });
}

// The adapter has an optimiser of its own, and the statistics follow the taps.
TEST_F(StepGraphTest, ForwardWithFeatures) {
  expect_same([](Training& r) {
    const auto statistics = std::make_shared<TapStatistics>(TapStatistics{
        Tensor::zeros({10}, DType::f32, kGpu), Tensor::full({10}, 1, DType::f32, kGpu), 0.1});
    const HintOptions options = {.mean = statistics->mean, .variance = statistics->variance};
    Lesson taught = lesson(0, 1);
    taught.features = {{"1", "1", 0.5,
                        std::make_shared<Hint>(Shape{6}, Shape{10}, options, DType::f32, kGpu),
                        statistics}};
    r.train({r.participant(*r.small), r.participant(*r.big, false)}, {taught});
  });
}

// The student's own labels come in over the first third of the run: only then steps are alike.
TEST_F(StepGraphTest, ReverseWithConfidence) {
  expect_same(
      [](Training& r) {
        r.recipe.epochs = 4;
        r.options.checkpoint_every = 12;
        Lesson taught = lesson(1, 0);
        taught.confidence = ConfidenceOptions{.ramp = 1.0 / 3};
        r.train({r.participant(*r.small, false), r.participant(*r.big)}, {taught});
      },
      6);
}

TEST_F(StepGraphTest, Mutual) {
  expect_same([](Training& r) {
    r.train({r.participant(*r.small), r.participant(*r.big)}, {lesson(0, 1), lesson(1, 0)});
  });
}

TEST_F(StepGraphTest, Alternate) {
  expect_same([](Training& r) {
    r.options.order = UpdateOrder::alternate;
    r.train({r.participant(*r.small), r.participant(*r.big)}, {lesson(0, 1), lesson(1, 0)});
  });
}

TEST_F(StepGraphTest, Gated) {
  expect_same([](Training& r) {
    r.options.gated =
        GatedLesson{std::make_shared<GatedEnsemble>(2 * kClasses, 2, 1, DType::f32, kGpu)};
    r.train({r.participant(*r.small), r.participant(*r.big)}, {});
  });
}

TEST_F(StepGraphTest, PartsOfABatch) {
  expect_same([](Training& r) {
    r.recipe.accumulate = 3;
    r.train({r.participant(*r.small), r.participant(*r.big, false)}, {lesson(0, 1)});
  });
}

// The scale grows after two steps, and is too large at first: a step that changes nothing else.
TEST_F(StepGraphTest, SixteenBitsWithLossScaling) {
  for (const DType dtype : {DType::bf16, DType::f16})
    expect_same(
        [&](Training& r) {
          AdamwConfig adamw;
          if (dtype == DType::f16)
            adamw.parameters.gradients.loss_scaling =
                LossScaling{.initial = 1e7, .change = {.growth_interval = 2}};
          r.recipe.optimizer = adamw;
          r.train({r.participant(*r.small), r.participant(*r.big, false)}, {lesson(0, 1)});
          for (const auto& [name, tensor] : r.end())
            if (name.ends_with("loss_scale")) {
              EXPECT_LT(tensor.item(), 8e7) << "grew 3 times";
            }
        },
        4, dtype);
}

TEST_F(StepGraphTest, KnowledgeOfBefore) {
  expect_same([](Training& r) {
    r.augment = {};
    Participant big = r.participant(*r.big, false);
    big.model = nullptr;
    big.logits = Tensor::from(random_values(20 * kClasses), {20, kClasses}).to(DType::f32).to(kGpu);
    r.train({r.participant(*r.small), big}, {lesson(0, 1)});
  });
}

// Batch norms count their batches on the host.
TEST_F(StepGraphTest, BatchNorm) {
  expect_same([](Training& r) {
    r.small = r.model({layer("linear", 6), layer("batch_norm"), layer("linear", kClasses)});
    r.train({r.participant(*r.small)}, {});
    const NamedTensors end = r.end();
    const auto count = std::find_if(end.begin(), end.end(), [](const auto& t) {
      return t.first.ends_with("num_batches_tracked");
    });
    ASSERT_NE(count, end.end());
    EXPECT_EQ(count->second.item(), 6);
  });
}

// A source that fetches: its batches are copied to where the graph reads them.
TEST_F(StepGraphTest, TokensWithDropoutOfAttention) {
  expect_same([](Training& r) {
    std::vector<std::uint32_t> tokens;
    for (std::uint32_t i = 0; i < 161; ++i) tokens.push_back(i * i % 7);
    r.data = std::make_unique<TokenSource>(token_row(tokens), 8, 7, kGpu);
    r.small =
        build_model({{8},
                     {layer("embedding", 0, {{"num", std::int64_t{7}}, {"dim", std::int64_t{8}}}),
                      layer("self_attention", 0,
                            {{"heads", std::int64_t{2}},
                             {"causal", true},
                             {"rotary_theta", 100.0},
                             {"dropout", 0.3}}),
                      layer("linear", 7)}},
                    3, DType::f32, kGpu);
    r.train({r.participant(*r.small)}, {});
  });
}

// What images are mixed by is drawn on the host: every step is another one.
TEST_F(StepGraphTest, MixedImagesAreNotRecorded) {
  expect_same(
      [](Training& r) {
        r.augment.mix.mixup = 1;
        r.train({r.participant(*r.small)}, {});
      },
      0);
}

TEST_F(StepGraphTest, StepsThatWaitForTheDeviceAreNotRecorded) {
  expect_same(
      [](Training& r) {
        Lesson taught = lesson(0, 1);
        taught.target = [](const std::vector<Tensor>& sources, const Tensor&) {
          return sources[0].to(Device::cpu()).to(kGpu);
        };
        r.train({r.participant(*r.small), r.participant(*r.big, false)}, {taught});
      },
      0);
}

/// Notes at the start of every epoch what has been asked of the device so far.
class Watched : public TensorSource {
 public:
  using TensorSource::TensorSource;
  struct Note {
    DeviceWork work;
    PoolStats pool;
  };
  std::vector<Note> notes;
  void begin_epoch(std::vector<std::int32_t> order, std::uint32_t epoch) override {
    notes.push_back({device_work(), pool_stats(kGpu)});
    TensorSource::begin_epoch(std::move(order), epoch);
  }
};

// An epoch writes its order twice, for the source and for the graph: two copies that the host waits
// for, into two blocks. Its four steps are a copy and a launch each, and nothing more.
TEST_F(StepGraphTest, AStepIsACopyAndALaunch) {
  const auto epoch = [](bool capture) {
    Training r(capture);
    r.recipe.epochs = 4;
    r.options.report_every = 100;
    r.options.checkpoint_every = 0;
    auto watched = std::make_unique<Watched>(random_ints(32 * 16, 256, {32, 4, 4, 1}, DType::u8),
                                             random_ints(32, 3, {32}, DType::i32), kClasses,
                                             Preprocess{}, r.augment, 5);
    const auto& notes = watched->notes;
    r.data = std::move(watched);
    r.train({r.participant(*r.small), r.participant(*r.big, false)}, {lesson(0, 1)});
    EXPECT_EQ(r.launches, capture ? 15 : 0);
    const auto &before = notes[2], &after = notes[3];
    return std::array{after.work.queued - before.work.queued, after.work.waits - before.work.waits,
                      after.pool.blocks - before.pool.blocks};
  };
  const auto captured = epoch(true), direct = epoch(false);
  EXPECT_EQ(captured[0], 2u + 4 * 2);
  EXPECT_EQ(captured[1], 2u);
  EXPECT_EQ(captured[2], 2u);
  EXPECT_EQ(direct[1], 1u) << "steps do not wait either way";
  EXPECT_GT(direct[0], 4 * 20u) << "every op is queued anew";
  std::cout << "a step of forward distillation queues 2 things captured, " << direct[0] / 4
            << " directly, and takes " << direct[2] / 4 << " blocks of memory\n";
}

TEST_F(StepGraphTest, ATableHoldsTheRowsOfItsSteps) {
  StepTable table(2, 3, kGpu);
  EXPECT_FALSE(table.holds(0));
  table.write(5, {{{1.5, -2}, {7, 8, 9}}, {{1.0 / 3, 4}, {1}}});
  EXPECT_FALSE(table.holds(4));
  EXPECT_TRUE(table.holds(5) && table.holds(6));
  EXPECT_FALSE(table.holds(7));
  const Tensor samples = table.samples();
  EXPECT_EQ(table.numbers().size(), 2u);
  table.select(6);
  EXPECT_EQ(samples.to_vector<std::int32_t>(), (std::vector<std::int32_t>{1, 0, 0}));
  table.select(5);
  EXPECT_EQ(samples.to_vector<std::int32_t>(), (std::vector<std::int32_t>{7, 8, 9}));
  expect_error([&] { table.select(7); }, "StepTable: step 7 of 2 from 5; expected one of them");
  expect_error(
      [&] {
        table.write(0, {{{1}, {}}});
      },
      "row 0 has 1 numbers, 0 samples; expected 2 and at most 3");
  expect_error(
      [&] {
        table.write(0, {{{1, 2}, {1, 2, 3, 4}}});
      },
      "row 0 has 2 numbers, 4 samples; expected 2 and at most 3");
  table.clear();
  EXPECT_FALSE(table.holds(5));
}

}  // namespace
}  // namespace limbeck::testing
