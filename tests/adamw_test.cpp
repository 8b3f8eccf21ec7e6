// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/adamw.h>

#include <limbeck/tests/same_bits.h>

namespace limbeck::testing {
namespace {

AdamwParam random_param(std::int64_t n, DType dtype, Device device, double weight_decay,
                        std::uint64_t seed) {
  const auto put = [&](const std::vector<double>& v) {
    return Tensor::from(v, {n}).to(dtype).to(device);
  };
  std::vector<double> moment2 = random_values(n, 1, seed + 3);
  for (double& v : moment2) v *= v;
  return {put(random_values(n, 1, seed)),
          put(random_values(n, 1, seed + 1)),
          put(random_values(n, 1, seed + 2)),
          put(moment2),
          weight_decay,
          1,
          {}};
}

// The formula of the contract with std::pow, one element at a time.
void reference_step(double& value, double g, double& m, double& v, double weight_decay,
                    const AdamwOptions& o) {
  value *= 1 - o.lr.value * weight_decay;
  m = o.beta1 * m + (1 - o.beta1) * g;
  v = o.beta2 * v + (1 - o.beta2) * g * g;
  const double step = static_cast<double>(o.step);
  const double m_hat = m / (1 - std::pow(o.beta1, step));
  const double v_hat = v / (1 - std::pow(o.beta2, step));
  value -= o.lr.value * m_hat / (std::sqrt(v_hat) + o.eps);
}

class AdamwTest : public DeviceTest {};
INSTANTIATE_TEST_SUITE_P(Devices, AdamwTest, ::testing::ValuesIn(full_precision_devices()),
                         [](const auto& test) { return test.param.name(); });

TEST_P(AdamwTest, HandNumbers) {
  // beta1 = beta2 = 0.5, step 1, g = 2: m = 0.5*2 = 1, v = 0.5*4 = 2; corrected by 1 - 0.5 they are
  // 2 and 4. value = 8*(1 - 0.25*0.5) - 0.25*2/(2 + 2) = 7 - 0.125 = 6.875.
  std::vector<AdamwParam> params = {
      {make({8}, {1}), make({2}, {1}), make({0}, {1}), make({0}, {1}), 0.5}};
  adamw_step(params, {.lr = 0.25, .beta1 = 0.5, .beta2 = 0.5, .eps = 2, .step = 1});
  expect_close(params[0].value, {6.875}, tolerance());
  expect_close(params[0].moment1, {1}, tolerance());
  expect_close(params[0].moment2, {2}, tolerance());
  expect_close(params[0].grad, {2}, 0, "grad is read only");
}

TEST_P(AdamwTest, FirstStepHasSizeLrWhateverTheGradient) {
  // From zero moments m_hat = g and v_hat = g^2, so the step is lr * sign(g) up to eps.
  std::vector<AdamwParam> params = {{make({0, 0, 0}, {3}), make({1e-3, -1, 1e3}, {3}),
                                     make({0, 0, 0}, {3}), make({0, 0, 0}, {3}), 0}};
  adamw_step(params, {.lr = 0.5, .eps = 1e-30, .step = 1});
  expect_close(params[0].value, {-0.5, 0.5, -0.5}, tolerance());
}

TEST_P(AdamwTest, ManyParametersOfEverySize) {
  // 40000 and 70000 take more than one piece; 0 takes none.
  const std::vector<std::int64_t> sizes = {1, 31, 0, 32, 33, 1000, 40000, 70000};
  const AdamwOptions o = {.lr = 0.1, .step = 7};
  std::vector<AdamwParam> params;
  for (std::size_t p = 0; p < sizes.size(); ++p)
    params.push_back(
        random_param(sizes[p], dtype(), device(), 0.01 * static_cast<double>(p), 4 * p));
  std::vector<std::vector<double>> values, firsts, seconds;
  for (const AdamwParam& p : params) {
    auto value = to_doubles(p.value), m = to_doubles(p.moment1), v = to_doubles(p.moment2);
    const auto grad = to_doubles(p.grad);
    for (std::size_t i = 0; i < value.size(); ++i)
      reference_step(value[i], grad[i], m[i], v[i], p.weight_decay, o);
    values.push_back(value), firsts.push_back(m), seconds.push_back(v);
  }
  adamw_step(params, o);
  for (std::size_t p = 0; p < sizes.size(); ++p) {
    expect_close(params[p].value, values[p], 4 * tolerance(), "value: six roundings and a root");
    expect_close(params[p].moment1, firsts[p], tolerance(), "moment1");
    expect_close(params[p].moment2, seconds[p], tolerance(), "moment2");
  }
}

// lr_scale acts as another lr, grad_scale as other gradients; one that is not finite stops the
// step.
TEST_P(AdamwTest, ScalesOfRateAndGradient) {
  const auto step = [&](double lr_scale, double grad_scale, double lr, double gradient) {
    std::vector<AdamwParam> params = {
        {make({8}, {1}), make({gradient}, {1}), make({0.5}, {1}), make({2}, {1}), 0.5, lr_scale}};
    AdamwOptions o = {.lr = lr, .eps = 2, .step = 3};
    if (grad_scale != 1) o.grad_scale = make({grad_scale}, {1});
    adamw_step(params, o);
    return std::vector{params[0].value, params[0].moment1, params[0].moment2};
  };
  const auto scaled = step(0.5, 0.25, 0.5, 4), plain = step(1, 1, 0.25, 1);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_TRUE(same_bytes(scaled[i], plain[i])) << i;
  const auto stopped = step(1, NAN, 0.25, 1);
  expect_close(stopped[0], {8}, 0);
  expect_close(stopped[1], {0.5}, 0);
}

// A model in 16 bits: the master moves as one of f32 would on the same gradient, the model's
// parameter is the master rounded.
TEST_P(AdamwTest, MastersOfSixteenBitModels) {
  if (dtype() == DType::f64) GTEST_SKIP() << "masters are f32";
  for (const DType half : {DType::bf16, DType::f16}) {
    std::vector<AdamwParam> params = {random_param(40000, DType::f32, device(), 0.01, 1)};
    const Tensor grad = params[0].grad.to(half);
    std::vector<AdamwParam> plain = {{params[0].value.clone(), grad.to(DType::f32),
                                      params[0].moment1.clone(), params[0].moment2.clone(), 0.01}};
    params[0].grad = grad;
    params[0].rounded = Tensor::full({40000}, 7, half, device());
    adamw_step(params, {.lr = 0.1, .step = 2});
    adamw_step(plain, {.lr = 0.1, .step = 2});
    EXPECT_TRUE(same_bytes(params[0].value, plain[0].value)) << half;
    EXPECT_TRUE(same_bytes(params[0].rounded, plain[0].value.to(half))) << half;
  }
}

TEST(Adamw, BiasCorrectionIsOneMinusThePower) {
  EXPECT_EQ(adamw_bias_correction(0.5, 1), 0.5);
  EXPECT_EQ(adamw_bias_correction(0.5, 3), 0.875);
  EXPECT_EQ(adamw_bias_correction(0, 5), 1);
  EXPECT_NEAR(adamw_bias_correction(0.999, 1000001), 1, 1e-15);
  // 20 roundings of squares at most, each doubling the relative error: still far below f32.
  for (std::int64_t step : {2, 10, 999, 4321})
    EXPECT_NEAR(adamw_bias_correction(0.999, step), 1 - std::pow(0.999, step), 1e-13);
}

TEST(Adamw, NoParametersIsNothing) { adamw_step({}, {.lr = 1, .step = 1}); }

TEST(Adamw, SameBitsForThreadsAndInstructionSets) {
  expect_same_bits([] {
    std::vector<AdamwParam> params = {random_param(70001, DType::f32, Device::cpu(), 1e-3, 1)};
    adamw_step(params, {.lr = 0.1, .step = 3});
    return std::vector{params[0].value, params[0].moment1, params[0].moment2};
  });
}

TEST(Adamw, Rejections) {
  const auto step = [](AdamwParam p, AdamwOptions o) {
    const Tensor z = Tensor::zeros({2});
    std::vector<AdamwParam> params = {{z, z, z.clone(), z.clone(), 0}, std::move(p)};
    adamw_step(params, o);
  };
  const Tensor a = Tensor::zeros({2, 3}), b = Tensor::zeros({3, 2});
  const AdamwOptions ok = {.lr = 1, .step = 1};
  expect_error(
      [&] {
        step({a, a, a, a, 0}, {.lr = -1, .step = 1});
      },
      "adamw_step: lr is -1; expected >= 0");
  expect_error(
      [&] {
        step({a, a, a, a, 0}, {.lr = 1, .beta1 = 1, .step = 1});
      },
      "adamw_step: beta1 is 1; expected 0 <= beta1 < 1");
  expect_error(
      [&] {
        step({a, a, a, a, 0}, {.lr = 1, .beta2 = -1, .step = 1});
      },
      "adamw_step: beta2 is -1; expected 0 <= beta2 < 1");
  expect_error(
      [&] {
        step({a, a, a, a, 0}, {.lr = 1, .eps = 0, .step = 1});
      },
      "adamw_step: eps is 0; expected > 0");
  expect_error([&] { step({a, a, a, a, 0}, {.lr = 1}); }, "adamw_step: step is 0; expected >= 1");
  expect_error(
      [&] {
        step({a, b, a, a, 0}, ok);
      },
      "adamw_step: parameter 1 has grad f32(3,2) on cpu, value f32(2,3) on cpu");
  expect_error([&] { step({a, a, b, a, 0}, ok); }, "adamw_step: parameter 1 has moment1 f32(3,2)");
  expect_error([&] { step({a, a, a, b, 0}, ok); }, "adamw_step: parameter 1 has moment2 f32(3,2)");
  expect_error(
      [&] {
        step({a, a, a, Tensor(), 0}, ok);
      },
      "adamw_step: parameter 1 has no moment2; expected one like f32(2,3)");
  expect_error([&] { step({Tensor(), a, a, a, 0}, ok); }, "adamw_step: parameter 1 has no value");
  expect_error(
      [&] {
        step({a, a, a, a, -0.5}, ok);
      },
      "adamw_step: parameter 1 has weight_decay -0.5; expected >= 0");
  expect_error(
      [&] {
        step({a, a, a, a, 0, -1}, ok);
      },
      "adamw_step: parameter 1 has lr_scale -1; expected >= 0");
  expect_error(
      [&] {
        step({a, a, a, a, 0, 1, a}, ok);
      },
      "adamw_step: parameter 1 has a rounded copy in f32, value f32; expected bf16 or f16");
  expect_error(
      [&] {
        step({a, a.to(DType::bf16), a, a, 0, 1, a.to(DType::bf16)}, ok);
      },
      "adamw_step: parameter 1 has gradients in bf16, parameter 0 in f32");
  expect_error(
      [&] {
        step({a, a, a, a, 0}, {.lr = 1, .step = 1, .grad_scale = a});
      },
      "adamw_step: grad_scale is f32(2,3) on cpu; expected one f32 on cpu");
  const Tensor d = a.to(DType::f64), h = a.to(DType::bf16);
  expect_error(
      [&] {
        step({d, d, d, d, 0}, ok);
      },
      "adamw_step: parameter 1 is f64 on cpu, parameter 0 f32 on cpu");
  expect_error(
      [&] {
        step({h, h, h, h, 0}, ok);
      },
      "adamw_step: parameter 1 is bf16 on cpu; expected f32, or f64 on the CPU");
}

}  // namespace
}  // namespace limbeck::testing
