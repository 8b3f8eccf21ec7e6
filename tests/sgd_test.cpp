// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/sgd.h>

#include <limbeck/tests/same_bits.h>

namespace limbeck::testing {
namespace {

SgdParam make_param(const std::vector<double>& value, const std::vector<double>& grad,
                    const std::vector<double>& momentum, const Shape& shape, DType dtype,
                    Device device, double weight_decay) {
  const auto put = [&](const std::vector<double>& v) {
    return Tensor::from(v, shape).to(dtype).to(device);
  };
  return {put(value), put(grad), put(momentum), weight_decay, 1, {}};
}

// The formula of the contract, one element at a time.
void reference_step(double& value, double grad, double& momentum, double weight_decay,
                    const SgdOptions& o) {
  const double g = grad + weight_decay * value;
  momentum = o.momentum * momentum + g;
  value -= o.lr.value * (o.nesterov ? g + o.momentum * momentum : momentum);
}

class SgdTest : public DeviceTest {
 protected:
  SgdParam param(const std::vector<double>& value, const std::vector<double>& grad,
                 const std::vector<double>& momentum, double weight_decay) const {
    return make_param(value, grad, momentum, {static_cast<std::int64_t>(value.size())}, dtype(),
                      device(), weight_decay);
  }
};
INSTANTIATE_TEST_SUITE_P(Devices, SgdTest, ::testing::ValuesIn(full_precision_devices()),
                         [](const auto& test) { return test.param.name(); });

TEST_P(SgdTest, HandNumbers) {
  // g = 2 + 0.5*4 = 4; without momentum value = 4 - 0.25*4 = 3.
  std::vector<SgdParam> plain = {param({4}, {2}, {1}, 0.5)};
  sgd_step(plain, {.lr = 0.25});
  expect_close(plain[0].value, {3}, tolerance());
  expect_close(plain[0].momentum, {1}, 0, "untouched without momentum");
  // m = 0.5*1 + 4 = 4.5; value = 4 - 0.25*4.5 = 2.875.
  std::vector<SgdParam> heavy = {param({4}, {2}, {1}, 0.5)};
  sgd_step(heavy, {.lr = 0.25, .momentum = 0.5});
  expect_close(heavy[0].value, {2.875}, tolerance());
  expect_close(heavy[0].momentum, {4.5}, tolerance());
  // Nesterov: g + 0.5*4.5 = 6.25; value = 4 - 0.25*6.25 = 2.4375.
  std::vector<SgdParam> nesterov = {param({4}, {2}, {1}, 0.5)};
  sgd_step(nesterov, {.lr = 0.25, .momentum = 0.5, .nesterov = true});
  expect_close(nesterov[0].value, {2.4375}, tolerance());
  expect_close(nesterov[0].grad, {2}, 0, "grad is read only");
}

TEST_P(SgdTest, ManyParametersOfEverySize) {
  // 40000 and 70000 take more than one piece; 0 takes none.
  const std::vector<std::int64_t> sizes = {1, 31, 0, 32, 33, 1000, 40000, 70000};
  for (const SgdOptions& o : {SgdOptions{.lr = 0.1}, SgdOptions{.lr = 0.1, .momentum = 0.9},
                              SgdOptions{.lr = 0.1, .momentum = 0.9, .nesterov = true}}) {
    std::vector<SgdParam> params;
    std::vector<std::vector<double>> values, momenta;
    for (std::size_t p = 0; p < sizes.size(); ++p) {
      const auto n = sizes[p];
      auto value = random_values(n, 1, 3 * p), grad = random_values(n, 1, 3 * p + 1),
           momentum = random_values(n, 1, 3 * p + 2);
      params.push_back(param(value, grad, momentum, 0.01 * static_cast<double>(p)));
      for (std::size_t i = 0; i < value.size(); ++i)
        reference_step(value[i], grad[i], momentum[i], params[p].weight_decay, o);
      values.push_back(value);
      momenta.push_back(momentum);
    }
    sgd_step(params, o);
    for (std::size_t p = 0; p < sizes.size(); ++p) {
      expect_close(params[p].value, values[p], tolerance(), "value");
      if (o.momentum > 0) expect_close(params[p].momentum, momenta[p], tolerance(), "momentum");
    }
  }
}

TEST_P(SgdTest, UndefinedMomentumIsFineWithoutMomentum) {
  std::vector<SgdParam> params = {param({1}, {1}, {0}, 0)};
  params[0].momentum = Tensor();
  sgd_step(params, {.lr = 1});
  expect_close(params[0].value, {0}, 0);
}

// lr_scale acts as another lr, grad_scale as other gradients; one that is not finite stops the
// step.
TEST_P(SgdTest, ScalesOfRateAndGradient) {
  for (const double momentum : {0.0, 0.5}) {
    const auto step = [&](double lr_scale, double grad_scale, double lr, double gradient) {
      std::vector<SgdParam> params = {param({8}, {gradient}, {3}, 0.5)};
      params[0].lr_scale = lr_scale;
      sgd_step(params, {.lr = lr, .momentum = momentum, .grad_scale = make({grad_scale}, {1})});
      return std::vector{params[0].value, params[0].momentum};
    };
    const auto scaled = step(0.5, 0.25, 0.5, 4), plain = step(1, 1, 0.25, 1);
    for (std::size_t i = 0; i < 2; ++i) EXPECT_TRUE(same_bytes(scaled[i], plain[i])) << i;
    expect_close(step(1, INFINITY, 0.25, 1)[0], {8}, 0);
  }
}

// A model in 16 bits: the master moves as one of f32 would on the same gradient, the model's
// parameter is the master rounded.
TEST_P(SgdTest, MastersOfSixteenBitModels) {
  if (dtype() == DType::f64) GTEST_SKIP() << "masters are f32";
  const auto values = random_values(3000, 1, 1), grads = random_values(3000, 1, 2);
  for (const DType half : {DType::bf16, DType::f16}) {
    std::vector<SgdParam> params = {param(values, grads, values, 0.01)};
    const Tensor grad = params[0].grad.to(half);
    std::vector<SgdParam> plain = {
        {params[0].value.clone(), grad.to(DType::f32), params[0].momentum.clone(), 0.01}};
    params[0].grad = grad;
    params[0].rounded = Tensor::full({3000}, 7, half, device());
    sgd_step(params, {.lr = 0.1, .momentum = 0.9});
    sgd_step(plain, {.lr = 0.1, .momentum = 0.9});
    EXPECT_TRUE(same_bytes(params[0].value, plain[0].value)) << half;
    EXPECT_TRUE(same_bytes(params[0].rounded, plain[0].value.to(half))) << half;
  }
}

TEST(Sgd, NoParametersIsNothing) { sgd_step({}, {.lr = 1}); }

TEST(Sgd, SameBitsForThreadsAndInstructionSets) {
  expect_same_bits([] {
    const std::int64_t n = 70001;
    std::vector<SgdParam> params = {make_param(random_values(n, 1, 1), random_values(n, 1, 2),
                                               random_values(n, 1, 3), {n}, DType::f32,
                                               Device::cpu(), 1e-3)};
    sgd_step(params, {.lr = 0.1, .momentum = 0.9, .nesterov = true});
    return std::vector{params[0].value, params[0].momentum};
  });
}

TEST(Sgd, Rejections) {
  const auto step = [](SgdParam p, SgdOptions o) {
    std::vector<SgdParam> params = {{Tensor::zeros({2}), Tensor::zeros({2}), Tensor::zeros({2}), 0},
                                    std::move(p)};
    sgd_step(params, o);
  };
  const Tensor a = Tensor::zeros({2, 3}), b = Tensor::zeros({3, 2});
  const SgdOptions momentum = {.lr = 1, .momentum = 0.5};
  expect_error([&] { step({a, a, a, 0}, {.lr = -1}); }, "sgd_step: lr is -1; expected >= 0");
  expect_error(
      [&] {
        step({a, a, a, 0}, {.lr = 1, .momentum = 1});
      },
      "sgd_step: momentum is 1; expected 0 <= momentum < 1");
  expect_error(
      [&] {
        step({a, a, a, 0}, {.lr = 1, .nesterov = true});
      },
      "sgd_step: nesterov with momentum 0; expected momentum > 0");
  expect_error(
      [&] {
        step({a, b, a, 0}, momentum);
      },
      "sgd_step: parameter 1 has grad f32(3,2) on cpu, value f32(2,3) on cpu");
  expect_error(
      [&] {
        step({a, a, b, 0}, momentum);
      },
      "sgd_step: parameter 1 has momentum f32(3,2) on cpu");
  expect_error(
      [&] {
        step({a, a, Tensor(), 0}, momentum);
      },
      "sgd_step: parameter 1 has no momentum; expected one like f32(2,3)");
  expect_error([&] { step({a, Tensor(), a, 0}, momentum); }, "sgd_step: parameter 1 has no grad");
  expect_error([&] { step({Tensor(), a, a, 0}, momentum); }, "sgd_step: parameter 1 has no value");
  expect_error(
      [&] {
        step({a, a, a, -0.5}, momentum);
      },
      "sgd_step: parameter 1 has weight_decay -0.5; expected >= 0");
  const Tensor d = a.to(DType::f64), h = a.to(DType::bf16);
  expect_error(
      [&] {
        step({d, d, d, 0}, momentum);
      },
      "sgd_step: parameter 1 is f64 on cpu, parameter 0 f32 on cpu");
  expect_error(
      [&] {
        step({h, h, h, 0}, momentum);
      },
      "sgd_step: parameter 1 is bf16 on cpu; expected f32, or f64 on the CPU");
}

}  // namespace
}  // namespace limbeck::testing
