// SPDX-License-Identifier: Apache-2.0
// Numbers that change from step to step: read where the work runs they give the bits of numbers
// that were known before.
#include <limbeck/core/step_number.h>

#include <limbeck/kernels/adamw.h>
#include <limbeck/kernels/attention.h>
#include <limbeck/kernels/dropout.h>
#include <limbeck/kernels/ema.h>
#include <limbeck/kernels/gather.h>
#include <limbeck/kernels/mix_images.h>
#include <limbeck/kernels/sgd.h>
#include <limbeck/nn/dropout.h>
#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

class StepNumberTest : public DeviceTest {
 protected:
  /// In the memory of the test's device, from where it is read.
  const double* place(double value) {
    numbers_.push_back(Tensor::from(std::vector<double>{value}, {1}, device()));
    return numbers_.back().data<double>();
  }
  StepNumber read(double value) { return StepNumber::read(place(value)); }
  /// The same stream; one that is told another step than it is to read.
  std::pair<RngStream, RngStream> streams(RngPurpose purpose) {
    RngStream known = {.seed = 7, .step = 4000000000u, .layer = 2, .purpose = purpose};
    RngStream found = known;
    found.step = 1;
    found.step_at = place(4e9);
    return {known, found};
  }

  Tensor values(std::int64_t n, std::uint64_t seed) { return make(random_values(n, 1, seed), {n}); }
  Tensor wide(std::int64_t n, std::uint64_t seed) {
    return values(n, seed).to(dtype() == DType::f64 ? DType::f64 : DType::f32);
  }
  /// A model's parameter, where it is not its own master.
  Tensor rounded(std::int64_t n) { return dtype_size(dtype()) == 2 ? values(n, 9) : Tensor(); }

 private:
  std::vector<Tensor> numbers_;
};
LIMBECK_INSTANTIATE_DEVICE_TEST(StepNumberTest);

// 1/3 has no short form: the products are rounded from f64 at one place in both ways. More tensors
// than one launch takes.
TEST_P(StepNumberTest, Sgd) {
  const auto step = [&](const StepNumber& lr) {
    std::vector<SgdParam> params;
    for (std::int64_t n = 30; n < 90; ++n)
      params.push_back({wide(n, 1), values(n, 2), wide(n, 3), 0.01, 0.7, rounded(n)});
    sgd_step(params, {.lr = lr, .momentum = 0.9});
    return params[59].value;
  };
  EXPECT_TRUE(same_bytes(step(read(1.0 / 3)), step(1.0 / 3)));
  EXPECT_FALSE(same_bytes(step(read(0.25)), step(1.0 / 3)));
}

TEST_P(StepNumberTest, Adamw) {
  const auto step = [&](const AdamwOptions& options) {
    std::vector<AdamwParam> params;
    for (std::int64_t n = 30; n < 90; ++n) {
      Tensor moment2 = wide(n, 4);
      moment2.fill(0.5);
      params.push_back({wide(n, 1), values(n, 2), wide(n, 3), moment2, 0.01, 0.7, rounded(n)});
    }
    adamw_step(params, options);
    return params[59].value;
  };
  const Tensor known = step({.lr = 1.0 / 3, .step = 7});
  const double first = adamw_bias_correction(0.9, 7), second = adamw_bias_correction(0.999, 7);
  const auto found = [&](double lr, double correction1, double correction2) {
    return step(
        {.lr = read(lr), .correction1 = read(correction1), .correction2 = read(correction2)});
  };
  EXPECT_TRUE(same_bytes(found(1.0 / 3, first, second), known));
  EXPECT_TRUE(
      same_bytes(step({.lr = 1.0 / 3, .correction1 = first, .correction2 = second}), known));
  EXPECT_FALSE(same_bytes(found(0.25, first, second), known));
  EXPECT_FALSE(same_bytes(found(1.0 / 3, 0.5, second), known));
  EXPECT_FALSE(same_bytes(found(1.0 / 3, first, 0.5), known));
}

TEST_P(StepNumberTest, Ema) {
  const auto step = [&](const StepNumber& decay) {
    std::vector<EmaPair> pairs = {{wide(100, 1), values(100, 2)}};
    ema_step(pairs, decay);
    return pairs[0].value;
  };
  EXPECT_TRUE(same_bytes(step(read(1.0 / 3)), step(1.0 / 3)));
  EXPECT_FALSE(same_bytes(step(read(0.25)), step(1.0 / 3)));
}

TEST_P(StepNumberTest, Dropout) {
  const auto [known, found] = streams(RngPurpose::dropout);
  const Tensor x = values(240, 1);
  for (const std::int64_t together : {1, 8}) {
    Tensor a = make_like({240}), b = make_like({240});
    dropout(a, x, {.p = 0.5, .stream = known, .first_element = 16, .together = together});
    dropout(b, x, {.p = 0.5, .stream = found, .first_element = 16, .together = together});
    EXPECT_TRUE(same_bytes(a, b)) << "together " << together;
  }
}

TEST_P(StepNumberTest, DropoutLayersPassItOn) {
  const Variable x(values(240, 1).reshape({6, 40}));
  Dropout layer(0.5);
  Context known = {.training = true, .seed = 3, .step = 12};
  Context found = {.training = true, .seed = 3, .step_at = place(12)};
  const Tensor y = layer.forward(x, known).value();
  EXPECT_TRUE(same_bytes(layer.forward(x, found).value(), y));
  EXPECT_EQ(found.random_layer, 1u);
  EXPECT_FALSE(same_bytes(layer.forward(x, found).value(), y)) << "the next layer has its own";
}

TEST_P(StepNumberTest, AttentionDropout) {
  const auto [known, found] = streams(RngPurpose::dropout);
  const Shape shape = {2, 5, 2, 4};
  const auto of = [&](std::uint64_t seed) { return values(80, seed).reshape(shape); };
  const Tensor q = of(1), k = of(2), v = of(3), dy = of(4);
  const auto run = [&](const RngStream& stream) {
    const AttentionOptions options = {.dropout = {0.5, stream, 1}};
    Tensor y = make_like(shape), dq = make_like(shape), dk = make_like(shape),
           dv = make_like(shape);
    Tensor lse =
        Tensor::empty({2, 2, 5}, dtype() == DType::f64 ? DType::f64 : DType::f32, device());
    attention_forward(y, lse, q, k, v, {}, options);
    attention_backward(dq, dk, dv, dy, y, lse, q, k, v, {}, options);
    return std::vector{y, dq, dk, dv};
  };
  const std::vector<Tensor> a = run(known), b = run(found);
  for (std::size_t i = 0; i < a.size(); ++i) EXPECT_TRUE(same_bytes(a[i], b[i])) << "result " << i;
}

TEST_P(StepNumberTest, Images) {
  const auto [known, found] = streams(RngPurpose::augment);
  const Tensor images =
      Tensor::from(random_values(3 * 48), {3, 4, 4, 3}).to(DType::f32).to(device());
  const Tensor index = Tensor::from(std::vector<std::int32_t>{2, 0, 1, 2}, {4}, device());
  GatherImagesOptions options = {
      .vary = {.max_jitter = 2, .flip = true, .brightness = 0.5f, .contrast = 0.5f},
      .stream = known};
  Tensor a = Tensor::empty({4, 4, 4, 3}, DType::f32, device()), b = Tensor::empty_like(a);
  gather_images(a, images, index, options);
  options.stream = found;
  gather_images(b, images, index, options);
  EXPECT_TRUE(same_bytes(a, b));
}

TEST_P(StepNumberTest, Partners) {
  const auto [known, found] = streams(RngPurpose::mix);
  Tensor a = Tensor::empty({50}, DType::i32, device()), b = Tensor::empty_like(a);
  random_partners(a, known);
  random_partners(b, found);
  EXPECT_TRUE(same_bytes(a, b));
}

}  // namespace
}  // namespace limbeck::testing
