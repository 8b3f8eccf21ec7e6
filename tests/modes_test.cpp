// SPDX-License-Identifier: Apache-2.0
// The three modes are one trainer with its arrows turned: what must then be equal is.
#include <limbeck/distill/trainer.h>

#include <cmath>

#include <limbeck/autograd/arithmetic.h>
#include <limbeck/distill/adapter.h>
#include <limbeck/distill/knowledge.h>
#include <limbeck/distill/standardise.h>
#include <limbeck/distill/tap.h>
#include <limbeck/tests/device_test.h>
#include <limbeck/tests/small_run.h>
#include <limbeck/tests/temporary_folder.h>

namespace limbeck::testing {
namespace {

/// The mean square of adapter(receiver) - source, standardised where statistics are given.
class SquareLoss : public FeatureLoss {
 public:
  SquareLoss(std::int64_t receiver, std::int64_t source, std::uint64_t seed,
             const TapStatistics& statistics = {})
      : source_(source),
        standardise_("square", statistics.mean, statistics.variance, source, DType::f32,
                     Device::cpu()),
        adapter_(make_adapter(AdapterKind::linear, receiver, source, seed)) {}
  Shape code_shape() const override { return {source_}; }
  Tensor encode(const Tensor& source) const override { return standardise_(source); }
  Variable loss(const Variable& receiver, const Tensor& code, double mean_over) override {
    Context context;
    const Variable r = sub(adapter_->forward(receiver, context), Variable(code));
    return scale(sum(mul(r, r)), 1 / (mean_over * static_cast<double>(source_)));
  }
  std::vector<NamedParameter> parameters() override { return adapter_parameters(*adapter_); }
  std::string describe() const override { return "square"; }

 private:
  std::int64_t source_;
  Standardise standardise_;
  std::unique_ptr<Module> adapter_;
};

ModelSpec small_spec() {
  return {{28, 28, 1},
          {layer("linear", 20), layer("relu"), layer("dropout", 0, 0.2), layer("linear", 10)}};
}
ModelSpec big_spec() {
  return {{28, 28, 1}, {layer("linear", 50), layer("relu"), layer("linear", 10)}};
}

constexpr std::uint64_t kSmallSeed = 1, kBigSeed = 2;

/// A small and a big model on 300 drawn digits, and who of them learns.
struct TwoModels {
  SmallRun drawn{SmallLoss::labels};
  std::unique_ptr<TensorSource> data;
  std::unique_ptr<ModelGraph> small = build_model(small_spec(), 3),
                              big = build_model(big_spec(), 4);
  RunOptions options = {.seed = 5, .report_every = 2};
  std::vector<double> losses = {};

  Participant participant(ModelGraph& model, bool trainable = true) {
    Recipe recipe = {.epochs = 2,
                     .batch = 128,
                     .optimizer = SgdConfig{.momentum = 0.9},
                     .schedule = {.lr = 0.05}};
    return {.name = &model == small.get() ? "small" : "big",
            .model = &model,
            .state = trainable ? ModelState::trainable : ModelState::frozen_eval,
            .recipe = recipe,
            .seed = &model == small.get() ? kSmallSeed : kBigSeed};
  }
  Trainer trainer(std::vector<Participant> participants, std::vector<Lesson> lessons) {
    data = std::make_unique<TensorSource>(drawn.images, drawn.labels, 10, Preprocess{}, Augment{},
                                          options.seed);
    return Trainer(std::move(participants), std::move(lessons), *data, options);
  }
  void train(std::vector<Participant> participants, std::vector<Lesson> lessons) {
    trainer(std::move(participants), std::move(lessons)).run([&](const Progress& p) {
      losses.push_back(p.loss);
    });
  }
  std::vector<std::string> digests() const {
    return {weights_digest(*small), weights_digest(*big)};
  }
};

FeatureLesson square(const std::string& receiver, const std::string& source, std::int64_t from,
                     std::int64_t to, double weight = 1) {
  return {receiver, source, weight, std::make_shared<SquareLoss>(from, to, 7)};
}

/// Lessons of logits and of the hidden layers, which are both named "1" (after the relu).
Lesson to_small(std::size_t small, std::size_t big) {
  return {.receiver = small,
          .sources = {big},
          .logits = KdLossOptions{.tau = 4, .kd_weight = 0.9, .ce_weight = 0.1},
          .features = {square("1", "1", 20, 50)}};
}
Lesson to_big(std::size_t big, std::size_t small) {
  return {.receiver = big,
          .sources = {small},
          .logits = KdLossOptions{.tau = 4, .kd_weight = 0.9, .ce_weight = 0.1},
          .features = {square("1", "1", 50, 20)}};
}

// Reverse distillation of (A,B) is forward distillation of (B,A): who is bigger is nowhere asked.
TEST(Modes, ReverseIsForwardWithTheModelsSwapped) {
  TwoModels one, other;
  one.train({one.participant(*one.big), one.participant(*one.small, false)}, {to_big(0, 1)});
  other.train({other.participant(*other.small, false), other.participant(*other.big)},
              {to_big(1, 0)});
  EXPECT_EQ(one.digests(), other.digests());
  EXPECT_EQ(one.losses, other.losses);
  EXPECT_EQ(weights_digest(*one.small), weights_digest(*build_model(small_spec(), 3)));
}

TEST(Modes, MutualDoesNotDependOnTheOrderOfTheModels) {
  TwoModels one, other;
  one.train({one.participant(*one.small), one.participant(*one.big)},
            {to_small(0, 1), to_big(1, 0)});
  other.train({other.participant(*other.big), other.participant(*other.small)},
              {to_big(0, 1), to_small(1, 0)});
  EXPECT_EQ(one.digests(), other.digests());
}

// The negative control of the test above.
TEST(Modes, AlternatingUpdatesDoDependOnIt) {
  TwoModels one, other;
  one.options.order = other.options.order = UpdateOrder::alternate;
  one.train({one.participant(*one.small), one.participant(*one.big)},
            {to_small(0, 1), to_big(1, 0)});
  other.train({other.participant(*other.big), other.participant(*other.small)},
              {to_big(0, 1), to_small(1, 0)});
  EXPECT_NE(one.digests(), other.digests());
}

// With one direction off, that side is trained on labels as if it were alone.
TEST(Modes, MutualWithOneDirectionOffIsForwardFromASourceTrainedOnLabels) {
  TwoModels mutual, silent, alone;
  Lesson off = to_big(1, 0);
  off.logits = KdLossOptions{.tau = 4, .kd_weight = 0, .ce_weight = 1};
  off.features[0].weight = 0;
  mutual.train({mutual.participant(*mutual.small), mutual.participant(*mutual.big)},
               {to_small(0, 1), off});
  silent.train({silent.participant(*silent.small), silent.participant(*silent.big)},
               {to_small(0, 1)});
  alone.train({alone.participant(*alone.big)}, {});
  EXPECT_EQ(mutual.digests(), silent.digests());
  EXPECT_EQ(mutual.digests()[1], alone.digests()[1]);
}

TEST(Modes, TwoLearnersAloneLearnWhatEachWouldAlone) {
  TwoModels both, small;
  both.train({both.participant(*both.small), both.participant(*both.big)}, {});
  small.train({small.participant(*small.small)}, {});
  EXPECT_EQ(both.digests()[0], small.digests()[0]);
}

// The losses of a lesson add up in the documented order, and so do their gradients.
TEST(Modes, TheWholeIsTheSumOfItsParts) {
  TwoModels m;
  const Participant small = m.participant(*m.small), big = m.participant(*m.big, false);
  TensorSource data(m.drawn.images, m.drawn.labels, 10, Preprocess{}, Augment{}, 5);
  data.begin_epoch({0, 1, 2, 3, 4, 5, 6, 7}, 0);
  const Batch batch = data.fetch(0, 8, 0);
  const View source = look(big, batch, {.layers = {"1"}});
  const auto loss = [&](const Lesson& lesson) {
    const View view = look(small, batch, {.layers = {"1"}});
    return lesson_loss(lesson, {0, 1}, view, {&source}, batch, 8).value().item();
  };
  const Lesson whole = to_small(0, 1);
  Lesson logits = whole, features = whole;
  logits.features.clear();
  features.logits.reset();
  EXPECT_EQ(loss(whole), static_cast<double>(static_cast<float>(loss(logits)) +
                                             static_cast<float>(loss(features))));
}

TEST(Modes, NoGradientReachesASource) {
  TwoModels m;
  const Batch batch = [&] {
    TensorSource data(m.drawn.images, m.drawn.labels, 10, Preprocess{}, Augment{}, 5);
    data.begin_epoch({0, 1, 2, 3}, 0);
    return data.fetch(0, 4, 0);
  }();
  const View small = look(m.participant(*m.small), batch, {.layers = {"1"}});
  const View big = look(m.participant(*m.big), batch, {.layers = {"1"}});
  lesson_loss(to_small(0, 1), {0, 1}, small, {&big}, batch, 4).backward();
  for (const NamedParameter& p : m.big->parameters())
    EXPECT_FALSE(p.value.grad().defined()) << p.name;
  EXPECT_TRUE(m.small->parameters()[0].value.grad().defined());
}

TEST(Modes, AScheduleSilencesTheSourceButNotTheLabels) {
  TwoModels never, alone;
  Lesson lesson = to_small(0, 1);
  lesson.logits->ce_weight = 1;
  lesson.schedule = {.begin = 1};
  never.train({never.participant(*never.small), never.participant(*never.big, false)}, {lesson});
  alone.train({alone.participant(*alone.small)}, {});
  EXPECT_EQ(never.digests()[0], alone.digests()[0]);
}

TEST(Modes, StatisticsFollowTheTapsAndResumeToTheBit) {
  const TemporaryFolder folder;
  const auto run = [&](TwoModels& m, std::int64_t stop) {
    m.options.checkpoint = folder.file("c.safetensors");
    m.options.checkpoint_every = 2;
    m.options.report_every = 1;
    Lesson small = to_small(0, 1), big = to_big(1, 0);
    for (Lesson* lesson : {&small, &big}) {
      const std::int64_t C = lesson == &small ? 50 : 20;
      const auto statistics = std::make_shared<TapStatistics>(
          TapStatistics{Tensor::zeros({C}, DType::f32), Tensor::full({C}, 1, DType::f32), 0.1});
      lesson->features[0].statistics = statistics;
      lesson->features[0].loss = std::make_shared<SquareLoss>(70 - C, C, 7, *statistics);
    }
    Trainer trainer = m.trainer({m.participant(*m.small), m.participant(*m.big)}, {small, big});
    if (stop == 0) trainer.resume();
    trainer.run([&](const Progress& p) {
      if (p.step == stop) throw stop;
    });
  };
  TwoModels whole, first, second;
  run(whole, -1);
  std::filesystem::remove(folder.file("c.safetensors"));
  EXPECT_THROW(run(first, 3), std::int64_t);
  run(second, 0);
  EXPECT_EQ(second.digests(), whole.digests());
}

/// The big model's knowledge in its place: K largest logits; 0: all of them.
Participant stored(TwoModels& m, std::int64_t K) {
  TensorSource data(m.drawn.images, m.drawn.labels, 10, Preprocess{}, Augment{}, 5);
  const Participant big = m.participant(*m.big, false);
  if (K == 0) return {.name = "big", .logits = logits_of_all(big, data)};
  return {.name = "big", .top = top_of_all(big, data, K, 4)};
}

Lesson stored_lesson(TwoModels& m) {
  TensorSource data(m.drawn.images, m.drawn.labels, 10, Preprocess{}, Augment{}, 5);
  Lesson lesson = to_small(0, 1);
  lesson.features[0].codes = encode_all(m.participant(*m.big, false), data, lesson.features[0]);
  return lesson;
}

TEST(Modes, StoredKnowledgeTeachesWhatItsModelDoes) {
  TwoModels live, whole;
  live.train({live.participant(*live.small), live.participant(*live.big, false)}, {to_small(0, 1)});
  whole.train({whole.participant(*whole.small), stored(whole, 0)}, {stored_lesson(whole)});
  EXPECT_EQ(live.digests()[0], whole.digests()[0]);
  EXPECT_EQ(live.losses, whole.losses);
}

// All ten classes are the whole teacher by another kernel: 1e-4 of the loss for six steps'
// roundings. Three of ten teach something else, and less than everything.
TEST(Modes, TheLargestLogitsTeachInTheirPlace) {
  TwoModels live, all, three;
  Lesson lesson = to_small(0, 1);
  lesson.features.clear();
  live.train({live.participant(*live.small), live.participant(*live.big, false)}, {lesson});
  all.train({all.participant(*all.small), stored(all, 10)}, {lesson});
  three.train({three.participant(*three.small), stored(three, 3)}, {lesson});
  ASSERT_EQ(live.losses.size(), all.losses.size());
  for (std::size_t i = 0; i < live.losses.size(); ++i)
    EXPECT_NEAR(all.losses[i], live.losses[i], 1e-4 * live.losses[i]);
  EXPECT_LT(three.losses[0], live.losses[0]);
}

TEST(Modes, StoredCodesNeedNoSource) {
  TwoModels live, stored;
  Lesson lesson = to_small(0, 1), alone = stored_lesson(stored);
  lesson.logits.reset();
  alone.logits.reset();
  alone.sources.clear();
  live.train({live.participant(*live.small), live.participant(*live.big, false)}, {lesson});
  stored.train({stored.participant(*stored.small)}, {alone});
  EXPECT_EQ(live.digests()[0], stored.digests()[0]);
}

TEST(Modes, RefusesStoredKnowledgeThatDoesNotServe) {
  TwoModels m;
  const Participant small = m.participant(*m.small);
  Lesson lesson = to_small(0, 1);
  lesson.features.clear();
  Participant both = stored(m, 0);
  both.top = stored(m, 3).top;
  expect_error(
      [&] {
        m.trainer({small, both}, {lesson});
      },
      "\"big\" has 2 of a model, logits and largest logits; expected one of them");
  lesson.logits->jsd_weight = 1;
  expect_error(
      [&] {
        m.trainer({small, stored(m, 3)}, {lesson});
      },
      "the largest logits of \"big\" are to teach more than forward KL; expected kd_weight alone");
  lesson.logits.reset();
  lesson.sources.clear();
  lesson.features = to_small(0, 1).features;
  expect_error([&] { m.trainer({small}, {lesson}); }, "learns features of 0 sources; expected one");
  Lesson moving = stored_lesson(m);
  TensorSource jittered(m.drawn.images, m.drawn.labels, 10, Preprocess{},
                        {.vary = {.max_jitter = 1}}, 5);
  expect_error(
      [&] {
        Trainer({small, m.participant(*m.big, false)}, {moving}, jittered, m.options);
      },
      "codes of layer \"1\" computed before for data that is augmented");
}

// The state of a model is what the run says, not what the model was last used for.
TEST(Modes, AFrozenModelStaysAsItIsInEitherState) {
  const SmallRun drawn(SmallLoss::labels);
  TensorSource data(drawn.images, drawn.labels, 10, Preprocess{}, Augment{}, 5);
  data.begin_epoch({0, 1, 2, 3, 4, 5, 6, 7}, 0);
  const Batch batch = data.fetch(0, 8, 0);
  const auto model =
      build_model({{28, 28, 1}, {layer("linear", 6), layer("batch_norm"), layer("linear", 10)}}, 1);
  const std::string before = weights_digest(*model);
  const auto logits = [&](ModelState state) {
    return look({.model = model.get(), .state = state}, batch, {}).logits;
  };
  const Variable running = logits(ModelState::frozen_eval);
  const Variable of_batch = logits(ModelState::frozen_batch_statistics);
  EXPECT_EQ(weights_digest(*model), before);
  EXPECT_FALSE(same_bytes(running.value(), of_batch.value()));
  EXPECT_FALSE(of_batch.requires_grad());
  EXPECT_TRUE(same_bytes(running.value(), infer(*model, batch.x)));
  const Variable trained = logits(ModelState::trainable);
  EXPECT_TRUE(same_bytes(trained.value(), of_batch.value()));
  EXPECT_NE(weights_digest(*model), before);
}

TEST(Modes, ThreePeersAndAGateTrainTogether) {
  TwoModels m;
  const auto third = build_model(small_spec(), 9);
  Participant peer = m.participant(*m.small);
  peer.name = "third";
  peer.model = third.get();
  m.options.gated = GatedLesson{std::make_shared<GatedEnsemble>(30, 3, 1)};
  const std::string before = weights_digest(*third);
  m.train({m.participant(*m.small), m.participant(*m.big), peer}, {});
  EXPECT_NE(weights_digest(*third), before);
  EXPECT_LT(m.losses.back(), m.losses.front());
  m.options.order = UpdateOrder::alternate;
  expect_error(
      [&] {
        m.trainer({m.participant(*m.small), m.participant(*m.big)}, {});
      },
      "a gate is trained with alternating updates");
}

TEST(Modes, RefusesWhatMakesNoRun) {
  TwoModels m;
  const Participant small = m.participant(*m.small), frozen = m.participant(*m.big, false);
  expect_error([&] { m.trainer({frozen}, {}); }, "none of 1 participants is trainable");
  expect_error(
      [&] {
        m.trainer({small, frozen}, {to_big(1, 0)});
      },
      "a lesson is for \"big\", which is frozen");
  expect_error(
      [&] {
        m.trainer({small, frozen}, {to_small(0, 2)});
      },
      "a lesson is from participant 2; there are 2");
  Lesson lesson = to_small(0, 1);
  lesson.features[0].receiver = "9";
  expect_error(
      [&] {
        m.train({small, frozen}, {lesson});
      },
      "model \"small\" has no layer \"9\"; its last is \"3\"");
  Participant longer = m.participant(*m.big);
  longer.recipe.epochs = 3;
  expect_error(
      [&] {
        m.trainer({small, longer}, {});
      },
      "\"small\" learns for 2 epochs of batches of 128 in 1 parts, \"big\" for 3 of 128");
}

}  // namespace
}  // namespace limbeck::testing
