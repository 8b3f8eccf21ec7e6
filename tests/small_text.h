// SPDX-License-Identifier: Apache-2.0
// A language model's training run in a fraction of a second: 1000 tokens of a made-up language.
#pragma once

#include <memory>
#include <string>

#include <limbeck/distill/token_source.h>
#include <limbeck/distill/trainer.h>
#include <limbeck/nn/activation.h>
#include <limbeck/nn/init.h>
#include <limbeck/nn/linear.h>
#include <limbeck/nn/sequential.h>
#include <limbeck/tools/run.h>

namespace limbeck::testing {

constexpr std::int64_t kSmallVocabulary = 11;

/// (N,T) i32 tokens as (N,T,V) f32 rows of one 1.
class OneHot : public Module {
 public:
  Variable forward(const Variable& x, Context&) override {
    const std::vector<std::int32_t> ids = x.value().to_vector<std::int32_t>();
    std::vector<float> y(ids.size() * kSmallVocabulary, 0.0f);
    for (std::size_t i = 0; i < ids.size(); ++i)
      y[i * kSmallVocabulary + static_cast<std::size_t>(ids[i])] = 1;
    return Variable(Tensor::from(y, output_shape(x.shape()), x.value().device()));
  }
  Shape output_shape(const Shape& in) const override { return {in[0], in[1], kSmallVocabulary}; }
  std::string describe() const override { return "OneHot"; }
};

/// Guesses the next token from the last one alone.
inline std::unique_ptr<Sequential> bigram_model(std::int64_t width, std::uint64_t seed,
                                                Device device) {
  auto model = std::make_unique<Sequential>();
  model->add(std::make_unique<OneHot>());
  model->add(std::make_unique<Linear>(kSmallVocabulary, width, true, DType::f32, device));
  model->add(std::make_unique<ActivationLayer>(parse_activation("tanh")));
  model->add(std::make_unique<Linear>(width, kSmallVocabulary, true, DType::f32, device));
  initialize(*model, Init::torch_default, seed);
  return model;
}

/// After token v mostly comes 3v + 1, else any other.
inline TokenRow small_text(std::size_t count = 1000) {
  const RngStream stream{1, 0, 0, RngPurpose::data};
  std::vector<std::uint32_t> tokens = {0};
  for (std::size_t i = 1; i < count; ++i) {
    const std::uint32_t word = philox_word(stream, i);
    tokens.push_back(word % 4 > 0 ? (3 * tokens.back() + 1) % kSmallVocabulary
                                  : word / 4 % kSmallVocabulary);
  }
  return token_row(tokens);
}

/// Windows of 8 tokens, the last cut short; batches of 32 windows, the last of 29.
struct SmallTextRun {
  std::unique_ptr<TokenSource> data;
  std::unique_ptr<Sequential> teacher, student;
  TrainerOptions options;

  explicit SmallTextRun(bool distills, Device device = Device::cpu()) {
    data = std::make_unique<TokenSource>(small_text(), 8, kSmallVocabulary, device);
    student = bigram_model(5, 3, device);
    options.recipe = {.epochs = 2,
                      .batch = 32,
                      .augment = {},
                      .optimizer = AdamwConfig{},
                      .schedule = {.lr = 0.02}};
    options.seed = 5;
    options.report_every = 4;
    if (!distills) return;
    teacher = bigram_model(13, 2, device);
    options.distill = KdLossOptions{.tau = 2, .kd_weight = 0.9, .ce_weight = 0.1};
  }

  Trainer trainer() { return Trainer(*student, *data, {.model = teacher.get()}, options); }
  std::string digest() { return weights_digest(*student); }
};

inline std::string digest_after_reading(bool distills, std::int64_t accumulate = 1) {
  SmallTextRun run(distills);
  run.options.recipe.accumulate = accumulate;
  run.trainer().run();
  return run.digest();
}

}  // namespace limbeck::testing
