// SPDX-License-Identifier: Apache-2.0
#include <limbeck/distill/evaluate.h>

#include <limbeck/nn/model.h>
#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

/// Two logits per one-pixel image: the pixel as it was preprocessed, and whether dropout and the
/// like would be on.
class Probe : public Module {
 public:
  Variable forward(const Variable& x, Context& context) override {
    EXPECT_FALSE(grad_enabled());
    const std::vector<float> pixels = x.value().to_vector<float>();
    std::vector<float> logits;
    for (const float p : pixels) {
      logits.push_back(p);
      logits.push_back(context.training ? 1 : 0);
    }
    return Variable(Tensor::from(logits, {x.shape()[0], 2}));
  }
  Shape output_shape(const Shape& input) const override { return {input[0], 2}; }
  std::string describe() const override { return "Probe"; }
};

Tensor five_images() {
  return Tensor::from(std::vector<std::uint8_t>{0, 1, 2, 3, 4}, {5, 1, 1, 1});
}

TEST(Predict, PreprocessesAndEvaluatesInOrderWhateverTheBatch) {
  Probe model;
  const Preprocess input{.scale = 2, .shift = 1};  // 2 * pixel + 1
  for (const std::int64_t batch : {1, 2, 5, 500})
    expect_close(predict(model, five_images(), input, batch), {1, 0, 3, 0, 5, 0, 7, 0, 9, 0}, 0);
}

TEST(Infer, ComputesInTheModelsDtypeAndAnswersInF32) {
  // x = 1 + 2^-9 lies between two bf16 numbers and rounds to 1; the weight is 1.
  const auto model = build_model({{1}, {{.type = "linear", .name = "", .out = 1}}}, 0, DType::bf16);
  for (auto& parameter : model->parameters())
    parameter.value.value().fill(parameter.name == "0.weight" ? 1 : 0);
  const Tensor y = infer(*model, Tensor::full({1, 1}, 1 + 0x1p-9));
  EXPECT_EQ(y.dtype(), DType::f32);
  expect_close(y, {1}, 0);
}

TEST(Predict, Rejections) {
  Probe model;
  expect_error(
      [&] {
        predict(model, five_images().reshape({5, 1}), {});
      },
      "predict: images have shape (5,1); expected (N,H,W,C) with N >= 1");
  expect_error([&] { predict(model, five_images().rows(0, 0), {}); },
               "predict: images have shape (0,1,1,1)");
  expect_error([&] { predict(model, five_images(), {}, 0); },
               "predict: batch is 0; expected at least 1");
}

}  // namespace
}  // namespace limbeck::testing
