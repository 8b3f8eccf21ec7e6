// SPDX-License-Identifier: Apache-2.0
// The models of a run as one plan against the same models run apart: every bit, in every mode.
#include <limbeck/distill/joint_forward.h>

#include <algorithm>

#include <limbeck/core/backend.h>
#include <limbeck/core/dispatch.h>
#include <limbeck/core/pool.h>
#include <limbeck/core/trace.h>
#include <limbeck/distill/hint.h>
#include <limbeck/distill/learner.h>
#include <limbeck/nn/model.h>
#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

constexpr std::int64_t kRows = 7, kIn = 12, kClasses = 4;

LayerSpec named(const std::string& type, const std::string& name, std::int64_t out = 0) {
  LayerSpec spec;
  spec.type = type;
  spec.name = name;
  spec.out = out;
  return spec;
}

ModelSpec mlp(std::int64_t width) {
  return {{kIn},
          {named("linear", "fc1", width), named("relu", "relu1"), named("linear", "fc2", width),
           named("tanh", "tanh2"), named("linear", "fc3", kClasses)}};
}

ModelSpec lenet(std::int64_t width, std::int64_t side) {
  LayerSpec conv = named("conv2d", "conv1", width);
  conv.kernel = 3;
  conv.padding = 1;
  return {{side, side, 1}, {conv, named("relu", "relu1"), named("linear", "fc", kClasses)}};
}

ModelSpec tokens(std::int64_t width, std::int64_t vocabulary, std::int64_t padding_idx = -1) {
  LayerSpec table = named("embedding", "wte");
  table.options = {{"num", vocabulary}, {"dim", width}, {"padding_idx", padding_idx}};
  return {{5}, {table, named("tanh", "tanh"), named("linear", "head", kClasses)}};
}

/// Two models that may teach each other, and what trains those that learn.
struct Two {
  std::vector<std::unique_ptr<ModelGraph>> models;
  std::vector<Participant> participants;
  std::vector<Lesson> lessons;
  std::vector<std::unique_ptr<Learner>> learners;
  std::unique_ptr<JointForward> joint;

  Two(const ModelSpec& small, const ModelSpec& big, DType dtype, Device device) {
    models.push_back(build_model(small, 1, dtype, device));
    models.push_back(build_model(big, 2, dtype, device));
    for (std::size_t i = 0; i < 2; ++i) {
      Participant p;
      p.name = i == 0 ? "small" : "big";
      p.model = models[i].get();
      p.state = ModelState::frozen_eval;
      p.recipe.optimizer = SgdConfig{.momentum = 0.9};
      participants.push_back(p);
    }
  }

  void teach(std::size_t receiver, std::shared_ptr<FeatureLoss> hint = nullptr) {
    participants[receiver].state = ModelState::trainable;
    Lesson lesson;
    lesson.receiver = receiver;
    lesson.sources = {1 - receiver};
    lesson.logits = KdLossOptions{.tau = 2, .kd_weight = 0.7, .ce_weight = 0.3};
    if (hint) lesson.features = {{"relu1", "tanh2", 0.5, std::move(hint)}};
    lessons.push_back(lesson);
  }

  void begin(bool as_one) {
    if (as_one) joint = std::make_unique<JointForward>(participants, lessons, true);
    for (const Participant& p : participants)
      learners.push_back(p.trainable()
                             ? std::make_unique<Learner>(p, std::vector<NamedParameter>{}, 100)
                             : nullptr);
  }

  std::vector<std::size_t> who_learns() const {
    std::vector<std::size_t> list;
    for (std::size_t i = 0; i < participants.size(); ++i)
      if (participants[i].trainable()) list.push_back(i);
    return list;
  }

  std::vector<View> look_at(const Batch& batch) {
    if (joint) return (*joint)(batch, {.clock = {0, 1}, .learners = who_learns()});
    std::vector<View> views;
    for (const Participant& p : participants) {
      std::set<std::string> layers;
      for (const Lesson& lesson : lessons)
        for (const FeatureLesson& f : lesson.features)
          layers.insert(&p == &participants[lesson.receiver] ? f.receiver : f.source);
      views.push_back(look(p, batch, {.learns = p.trainable(), .layers = layers}));
    }
    return views;
  }

  void step(const Batch& batch) {
    for (const std::size_t i : who_learns()) learners[i]->zero_grad();
    const std::vector<View> views = look_at(batch);
    for (const Lesson& lesson : lessons)
      learners[lesson.receiver]->backward(lesson_loss(lesson, {0, 1}, views[lesson.receiver],
                                                      {&views[lesson.sources[0]]}, batch,
                                                      static_cast<double>(batch.x.dim(0))));
    for (const std::size_t i : who_learns()) learners[i]->step(0);
  }
};

class JointForwardTest : public DeviceTest {
 protected:
  Batch batch(const Shape& x, std::uint64_t seed = 1) const {
    Batch b;
    b.x = Tensor::from(random_values(x.numel(), 1, seed), x).to(DType::f32).to(device());
    std::vector<std::int32_t> labels;
    for (std::int64_t n = 0; n < x[0]; ++n) labels.push_back(static_cast<std::int32_t>(n) % 4);
    b.labels = Tensor::from(labels, {x[0]}, device());
    b.samples = b.labels;
    b.targets = static_cast<double>(x[0]);
    return b;
  }
  /// A GPU's library may compute the rows of a larger product by another algorithm; the emulated
  /// one, as our own products, does not.
  void expect_same(const Tensor& joint, const Tensor& apart, const std::string& what) const {
    if (device().is_cuda() && backend::reuses_memory())
      expect_close(joint, to_doubles(apart), 8 * tolerance(), what);
    else
      EXPECT_TRUE(same_bytes(joint, apart)) << what;
  }
  void expect_same_models(Two& joint, Two& apart) const {
    for (std::size_t i = 0; i < 2; ++i) {
      const auto a = joint.models[i]->parameters(), b = apart.models[i]->parameters();
      for (std::size_t k = 0; k < a.size(); ++k)
        expect_same(a[k].value.value(), b[k].value.value(), b[k].name);
    }
  }
  Two two() const { return Two(mlp(8), mlp(16), dtype(), device()); }
  std::shared_ptr<FeatureLoss> hint(std::int64_t receiver, std::int64_t source) const {
    return std::make_shared<Hint>(Shape{receiver}, Shape{source}, HintOptions{}, DType::f32,
                                  device());
  }
};
LIMBECK_INSTANTIATE_DEVICE_TEST(JointForwardTest);

TEST_P(JointForwardTest, EveryModeEndsInTheWeightsOfModelsRunApart) {
  for (const std::vector<std::size_t>& receivers :
       {std::vector<std::size_t>{0}, {1}, {0, 1}}) {  // forward, reverse, mutual
    Two joint = two(), apart = two();
    for (Two* t : {&joint, &apart}) {
      for (const std::size_t receiver : receivers)
        t->teach(receiver, dtype() == DType::f64
                               ? nullptr
                               : hint(receiver == 0 ? 8 : 16, receiver == 0 ? 16 : 8));
      t->begin(t == &joint);
      for (std::uint64_t s = 1; s <= 3; ++s) t->step(batch({kRows, kIn}, s));
    }
    expect_same_models(joint, apart);
  }
}

TEST_P(JointForwardTest, ConvolutionsOfOneWindowAreJoined) {
  Two joint(lenet(4, 6), lenet(8, 6), dtype(), device());
  Two apart(lenet(4, 6), lenet(8, 6), dtype(), device());
  for (Two* t : {&joint, &apart}) {
    t->teach(0);
    t->teach(1);
    t->begin(t == &joint);
    for (std::uint64_t s = 1; s <= 2; ++s) t->step(batch({kRows, 6, 6, 1}, s));
  }
  EXPECT_EQ(joint.joint->plan().joined.size(), 1u);
  expect_same_models(joint, apart);
}

// 4 + 8 channels of 256 images of 32 x 32 are 12 MiB in f32: on the CPU each model computes its
// own, and the bits are the same.
TEST_P(JointForwardTest, LargeResultsAreNotJoinedOnTheCpu) {
  Two joint(lenet(4, 32), lenet(8, 32), dtype(), device());
  Two apart(lenet(4, 32), lenet(8, 32), dtype(), device());
  for (Two* t : {&joint, &apart}) {
    t->teach(0);
    t->begin(t == &joint);
  }
  const JointPlan& plan = joint.joint->plan();
  const std::int64_t rows = device().is_cuda() ? 8 : 256;  // an emulated GPU takes its time
  const Batch images = batch({rows, 32, 32, 1});
  const std::size_t bytes = joined_bytes(plan, plan.joined.at(0).layers, images.x.shape());
  EXPECT_EQ(bytes, static_cast<std::size_t>(rows) * 32 * 32 * 12 * dtype_size(dtype()));
  Tracer tracer(device());
  expect_same(joint.look_at(images)[1].logits.value(), apart.look_at(images)[1].logits.value(), "");
  const auto events = tracer.events();
  const bool together = std::any_of(events.begin(), events.end(), [](const TraceEvent& e) {
    return e.name == "small/conv1+relu1 & big/conv1+relu1";
  });
  EXPECT_EQ(together, device().is_cuda());
}

// The small model's padding has a row that is not trained; the big one has none.
TEST_P(JointForwardTest, EmbeddingsOfOneVocabularyAreJoined) {
  Batch text = batch({kRows, 5});
  std::vector<std::int32_t> ids, next;
  for (std::int32_t i = 0; i < kRows * 5; ++i) ids.push_back(i * i % 6), next.push_back(i % 4);
  text.x = Tensor::from(ids, {kRows, 5}, device());
  text.labels = Tensor::from(next, {kRows, 5}, device());
  text.targets = kRows * 5;
  Two joint(tokens(8, 6, 1), tokens(16, 6), dtype(), device());
  Two apart(tokens(8, 6, 1), tokens(16, 6), dtype(), device());
  for (Two* t : {&joint, &apart}) {
    t->teach(0);
    t->teach(1);
    t->begin(t == &joint);
    t->step(text);
    t->step(text);
  }
  ASSERT_EQ(joint.joint->plan().joined.size(), 1u);
  EXPECT_FALSE(joint.joint->plan().joined[0].stack.w.defined());
  expect_same_models(joint, apart);
}

TEST_P(JointForwardTest, FirstLayersAreJoined) {
  Two t = two();
  t.teach(0);
  t.begin(true);
  ASSERT_EQ(t.joint->plan().joined.size(), 1u);
  EXPECT_EQ(t.joint->plan().joined[0].layers.size(), 2u);
  EXPECT_EQ(t.joint->plan().joined[0].stack.w.defined(), device().is_cuda());
  t.step(batch({kRows, kIn}));
}

// On a GPU the second plan moves the teacher's weights out of the first one's stack.
TEST_P(JointForwardTest, TwoPlansMayShareATeacher) {
  Two one = two(), other = two(), apart = two();
  other.participants[1].model = one.models[1].get();
  for (Two* t : {&one, &other, &apart}) {
    t->teach(0);
    t->begin(t != &apart);
  }
  for (Two* t : {&one, &other, &apart}) t->step(batch({kRows, kIn}));
  for (Two* t : {&one, &other}) {
    const auto a = t->models[0]->parameters(), b = apart.models[0]->parameters();
    for (std::size_t k = 0; k < a.size(); ++k)
      expect_same(a[k].value.value(), b[k].value.value(), b[k].name);
  }
}

TEST_P(JointForwardTest, ATapThatOnlyACodeIsMadeOfIsNotKept) {
  if (dtype() == DType::f64) GTEST_SKIP() << "features are f32";
  Two t = two();
  t.teach(0, hint(8, 16));
  t.begin(true);
  const auto views = t.look_at(batch({kRows, kIn}));
  EXPECT_TRUE(views[1].taps.empty());
  ASSERT_EQ(views[1].codes.size(), 1u);
  EXPECT_EQ(views[1].codes.begin()->first.second, "tanh2");
  EXPECT_TRUE(views[0].taps.contains("relu1"));
}

TEST_P(JointForwardTest, ASilentSourceIsNotRun) {
  Two t = two();
  t.teach(0);
  t.lessons[0].schedule = {.begin = 1};
  t.begin(true);
  const auto views = t.look_at(batch({kRows, kIn}));
  EXPECT_FALSE(views[1].logits.defined());
  EXPECT_TRUE(views[0].logits.defined());
}

/// What a pass takes from the pool at most, beside what it returns.
std::size_t peak_of(Two& t, const Batch& batch) {
  t.look_at(batch);
  const std::size_t before = pool_stats(Device::cpu()).in_use;
  pool_reset_peak(Device::cpu());
  t.look_at(batch);
  return pool_stats(Device::cpu()).peak - before;
}

// 256 images of 64 x 64 in 8 channels are 32 MiB a layer; a frozen model's pass keeps a few rows.
TEST_P(JointForwardTest, AFrozenModelRunsInSharesThatStayInTheCache) {
  if (device().is_cuda()) {
    Two t = two();
    t.teach(0);
    t.begin(true);
    t.step(batch({kRows, kIn}));
    return;
  }
  constexpr std::int64_t kSide = 64, kImages = 256;
  Two joint(lenet(1, kSide), lenet(8, kSide), dtype(), device());
  Two apart(lenet(1, kSide), lenet(8, kSide), dtype(), device());
  for (Two* t : {&joint, &apart}) {
    t->teach(0);
    t->begin(t == &joint);
  }
  const Batch images = batch({kImages, kSide, kSide, 1});
  EXPECT_LT(rows_in_cache(*joint.models[1], images.x.shape()), kImages);
  EXPECT_EQ(rows_in_cache(*two().models[1], {kRows, kIn}), kRows);
  expect_same(joint.look_at(images)[1].logits.value(), apart.look_at(images)[1].logits.value(), "");
  const std::size_t layer = kImages * kSide * kSide * 8 * dtype_size(dtype());
  EXPECT_GT(peak_of(apart, images), layer);
  EXPECT_LT(peak_of(joint, images), layer);
}

ModelSpec wide_head(std::int64_t width, std::int64_t classes) {
  LayerSpec head = named("linear", "head", classes);
  head.bias = false;
  return {{kIn}, {named("linear", "fc1", width), named("relu", "relu1"), head}};
}

// 512 rows of 32768 classes are 64 MiB of logits.
TEST(JointForward, LargeLogitsAreNeverHeldWhole) {
  constexpr std::int64_t kMany = 32768, kManyRows = 512;
  Batch batch;
  batch.x = Tensor::from(random_values(kManyRows * kIn), {kManyRows, kIn}).to(DType::f32);
  std::vector<std::int32_t> labels;
  for (std::int32_t n = 0; n < kManyRows; ++n) labels.push_back(n * 37 % kMany);
  batch.labels = batch.samples = Tensor::from(labels, {kManyRows});
  batch.targets = kManyRows;
  std::vector<std::unique_ptr<Two>> pairs;
  std::size_t peaks[2];
  for (const bool as_one : {false, true}) {
    auto two =
        std::make_unique<Two>(wide_head(4, kMany), wide_head(6, kMany), DType::f32, Device::cpu());
    two->teach(0);
    two->begin(as_one);
    EXPECT_TRUE(!as_one || two->joint->plan().heads);
    const std::size_t before = pool_stats(Device::cpu()).in_use;
    pool_reset_peak(Device::cpu());
    two->step(batch);
    peaks[as_one] = pool_stats(Device::cpu()).peak - before;
    pairs.push_back(std::move(two));
  }
  const auto a = pairs[0]->models[0]->parameters(), b = pairs[1]->models[0]->parameters();
  for (std::size_t k = 0; k < a.size(); ++k)
    EXPECT_TRUE(same_bytes(a[k].value.value(), b[k].value.value())) << a[k].name;
  const std::size_t logits = kManyRows * kMany * sizeof(float);
  EXPECT_GT(peaks[0], 3 * logits);  // both models', and a gradient
  EXPECT_LT(peaks[1], logits);
}

TEST(JointPlan, JoinsOnlyWhatReadsTheSameNumbers) {
  const auto joined = [](const ModelSpec& small, const ModelSpec& big, DType dtype, bool mutual) {
    Two t(small, big, DType::f32, Device::cpu());
    if (dtype != DType::f32) {
      t.models[1] = build_model(big, 2, dtype, Device::cpu());
      t.participants[1].model = t.models[1].get();
    }
    t.teach(0);
    if (mutual) t.teach(1);
    return make_joint_plan(t.participants, t.lessons).joined.size();
  };
  ModelSpec noisy = mlp(16);
  LayerSpec dropout = named("dropout", "drop");
  dropout.p = 0.2;
  noisy.layers.insert(noisy.layers.begin(), dropout);
  EXPECT_EQ(joined(mlp(8), mlp(16), DType::f32, false), 1u);
  EXPECT_EQ(joined(mlp(8), noisy, DType::f32, false), 1u);  // frozen: its dropout does nothing
  EXPECT_EQ(joined(mlp(8), noisy, DType::f32, true), 0u);
  EXPECT_EQ(joined(mlp(8), mlp(16), DType::bf16, false), 0u);
  EXPECT_EQ(joined(lenet(1, 4), lenet(2, 4), DType::f32, false), 1u);
  ModelSpec strided = lenet(2, 4);
  strided.layers[0].stride = 2;
  EXPECT_EQ(joined(lenet(1, 4), strided, DType::f32, false), 0u);
  EXPECT_EQ(joined(tokens(4, 6), tokens(8, 6), DType::f32, true), 1u);
  EXPECT_EQ(joined(tokens(4, 6), tokens(8, 7), DType::f32, true), 0u);
}

TEST(JointPlan, NamesALayerThatIsNotThere) {
  Two t(mlp(8), mlp(16), DType::f32, Device::cpu());
  t.teach(0, std::make_shared<Hint>(Shape{8}, Shape{16}));
  t.lessons[0].features[0].source = "fc9";
  expect_error([&] { make_joint_plan(t.participants, t.lessons); },
               "model \"big\" has no layer \"fc9\"; its last is \"fc3\"");
}

}  // namespace
}  // namespace limbeck::testing
