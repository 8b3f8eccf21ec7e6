// SPDX-License-Identifier: Apache-2.0
// Time of one whole step of every technique beside one of plain distillation.
#include <optional>

#include <limbeck/core/arena.h>
#include <limbeck/distill/compressed_sensing.h>
#include <limbeck/distill/gaussian_laplace.h>
#include <limbeck/distill/learner.h>
#include <limbeck/distill/lesson.h>
#include <limbeck/distill/polynomial.h>
#include <limbeck/distill/semi_gaussian_laplace.h>
#include <limbeck/nn/model.h>
#include <limbeck/tools/bench/bench.h>

namespace limbeck {
namespace {

constexpr std::int64_t kBatch = 128, kIn = 784, kSmall = 100, kBig = 400, kClasses = 10;

/// tools/configs/mnist-pair.json's models: two hidden layers of the given width.
std::unique_ptr<ModelGraph> make_mlp(std::int64_t width, Device device) {
  return build_model({{kIn},
                      {{.type = "linear", .name = "fc1", .out = width},
                       {.type = "relu", .name = "relu1"},
                       {.type = "linear", .name = "fc2", .out = width},
                       {.type = "relu", .name = "relu2"},
                       {.type = "linear", .name = "fc3", .out = kClasses}}},
                     1, DType::f32, device);
}

double forward_flops(double width) { return 2 * (kIn * width + width * width + width * kClasses); }

/// A student that learns from a live teacher, or from what was stored of one.
class Step {
 public:
  Step(std::shared_ptr<FeatureLoss> loss, bool live, Device device)
      : live_(live), student_(make_mlp(kSmall, device)), teacher_(make_mlp(kBig, device)) {
    learner_.model = student_.get();
    learner_.recipe = {
        .epochs = 1, .batch = kBatch, .optimizer = AdamwConfig{}, .schedule = {.lr = 1e-4}};
    source_ = {.name = "teacher", .model = teacher_.get(), .state = ModelState::frozen_eval};
    lesson_ = {.receiver = 0,
               .sources = {1},
               .logits = KdLossOptions{.tau = 4, .kd_weight = 0.9, .ce_weight = 0.1}};
    if (loss) lesson_.features = {{"relu2", "relu2", 1, loss}};
    optimizer_ = std::make_unique<Learner>(
        learner_, loss ? loss->parameters() : std::vector<NamedParameter>{}, 1000000);
  }

  /// Codes and logits of the samples in a batch, as a run has them of all.
  void store(const Batch& batch) {
    if (live_) return;
    const View view = look(source_, batch, {.learns = false, .layers = {"relu2"}});
    source_.logits = view.logits.value();
    source_.model = nullptr;
    for (FeatureLesson& feature : lesson_.features)
      feature.codes = code_of(feature, view.taps.at("relu2").value());
  }

  void operator()(const Batch& batch) {
    std::optional<Arena::Step> in_arena;  // as a run's steps are
    if (!batch.x.device().is_cuda()) in_arena.emplace(arena_);
    const std::set<std::string> layers =
        lesson_.features.empty() ? std::set<std::string>{} : std::set<std::string>{"relu2"};
    optimizer_->zero_grad();
    const View source =
        look(source_, batch, {.learns = false, .layers = live_ ? layers : std::set<std::string>{}});
    const View own = look(learner_, batch, {.layers = layers});
    optimizer_->backward(lesson_loss(lesson_, {0, 1}, own, {&source}, batch, kBatch));
    optimizer_->step(0);
  }

 private:
  bool live_;
  std::unique_ptr<ModelGraph> student_, teacher_;
  Participant learner_, source_;
  Lesson lesson_;
  std::unique_ptr<Learner> optimizer_;
  Arena arena_;
};

Batch make_batch(Bench& bench) {
  Batch batch;
  batch.x = bench.random({kBatch, kIn});
  batch.labels = bench.random_index({kBatch}, kClasses);
  std::vector<std::int32_t> samples(kBatch);
  for (std::int32_t n = 0; n < kBatch; ++n) samples[static_cast<std::size_t>(n)] = n;
  batch.samples = Tensor::from(samples, {kBatch}).to(bench.device());
  batch.targets = kBatch;
  return batch;
}

void bench_step(Bench& bench, const std::string& name, const std::shared_ptr<FeatureLoss>& loss) {
  for (const bool live : {false, true}) {
    Step step(loss, live, bench.device());
    Batch first = make_batch(bench);
    step.store(first);
    const double flops = kBatch * (3 * forward_flops(kSmall) + (live ? forward_flops(kBig) : 0));
    bench.time(
        "technique_step/" + name, live ? "live teacher" : "stored knowledge", {.flops = flops},
        [&] { return make_batch(bench); }, step);
  }
}

}  // namespace

void bench_technique_step(Bench& bench) {
  const Shape small = {kSmall}, big = {kBig};
  const Device device = bench.device();
  bench_step(bench, "plain", nullptr);
  bench_step(
      bench, "gaussian_laplace",
      std::make_shared<GaussianLaplace>(small, big, GaussianLaplaceOptions{}, DType::f32, device));
  bench_step(bench, "polynomial", std::make_shared<Polynomial>(small, big));
  bench_step(bench, "compressed_sensing",
             std::make_shared<CompressedSensing>(small, big, CompressedSensingOptions{}, DType::f32,
                                                 device));
  bench_step(bench, "semi_gaussian_laplace",
             std::make_shared<SemiGaussianLaplace>(small, big, SemiGaussianLaplaceOptions{},
                                                   DType::f32, device));
}

}  // namespace limbeck
