// SPDX-License-Identifier: Apache-2.0
// Tests of the initialisers.
#include <limbeck/nn/init.h>

#include <limbeck/nn/conv2d.h>
#include <limbeck/nn/linear.h>
#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

const RngStream kStream = {42, 0, 3, RngPurpose::init};

std::vector<double> weights_of(Module& module, Init init, std::uint64_t seed = 1) {
  initialize(module, init, seed);
  return to_doubles(module.parameters()[0].value.value());
}

double variance(const std::vector<double>& v) {
  double sum = 0, squares = 0;
  for (const double x : v) sum += x, squares += x * x;
  const double n = static_cast<double>(v.size());
  return squares / n - (sum / n) * (sum / n);
}

double largest(const std::vector<double>& v) {
  double m = 0;
  for (const double x : v) m = std::max(m, std::abs(x));
  return m;
}

// Word 1 of the stream is w: the element is 0.5 (2 (w >> 8) 2^-24 - 1).
TEST(Init, UniformIsTheStreamsWords) {
  Tensor t = Tensor::empty({5});
  fill_uniform(t, 0.5, kStream);
  for (std::uint64_t i = 0; i < 5; ++i)
    EXPECT_EQ(t.data<float>()[i],
              static_cast<float>(philox_word(kStream, i) >> 8) * 0x1p-24f - 0.5f);
}

// 100000 draws: the variance of N(0,1)'s sample variance is 2/n, so 5 deviations are 0.022; the
// share beyond one deviation is 0.3173 with deviation 0.0015. Neighbours (the two of a Box-Muller
// pair) are uncorrelated within 5/sqrt(n/2).
TEST(Init, NormalHasTheNormalsMomentsAndTails) {
  Tensor t = Tensor::empty({100000}, DType::f64);
  fill_normal(t, 2, kStream);
  const std::vector<double> v = to_doubles(t);
  EXPECT_NEAR(variance(v), 4, 4 * 0.022);
  double beyond = 0, product = 0;
  for (std::size_t i = 0; i < v.size(); ++i) {
    beyond += std::abs(v[i]) > 2 ? 1 : 0;
    product += i % 2 ? v[i] * v[i - 1] / 4 : 0;
  }
  EXPECT_NEAR(beyond / 1e5, 0.3173, 5 * 0.0015);
  EXPECT_NEAR(product / 5e4, 0, 5 / std::sqrt(5e4));
}

// fan_in 200, fan_out 50, 10000 draws: a uniform's sample variance has relative deviation
// sqrt(4/5)/100 = 0.009, a normal's sqrt(2)/100 = 0.014; 5 of them.
TEST(Init, VariancesFollowTheFans) {
  Linear linear(200, 50);
  EXPECT_NEAR(variance(weights_of(linear, Init::torch_default)) * 3 * 200, 1, 0.045);
  EXPECT_NEAR(variance(weights_of(linear, Init::kaiming_uniform)) * 200 / 2, 1, 0.045);
  EXPECT_NEAR(variance(weights_of(linear, Init::kaiming_normal)) * 200 / 2, 1, 0.07);
  EXPECT_NEAR(variance(weights_of(linear, Init::xavier_uniform)) * 250 / 2, 1, 0.045);
  EXPECT_NEAR(variance(weights_of(linear, Init::xavier_normal)) * 250 / 2, 1, 0.07);
}

// A 3x3 convolution from 4 to 8 channels: fan_in 36, fan_out 72. The largest of 288 uniform draws
// is above 0.95 of the bound but for a chance of 4e-7.
TEST(Init, ConvolutionsCountTheirKernel) {
  Conv2d conv(4, 8, 3);
  const auto expect_bound = [&](Init init, double bound) {
    const double top = largest(weights_of(conv, init));
    EXPECT_LE(top, bound);
    EXPECT_GT(top, 0.95 * bound);
  };
  expect_bound(Init::torch_default, 1 / std::sqrt(36.0));
  expect_bound(Init::kaiming_uniform, std::sqrt(6 / 36.0));
  expect_bound(Init::xavier_uniform, std::sqrt(6 / 108.0));
}

TEST(Init, BiasesAreSmallByTorchsDefaultAndZeroOtherwise) {
  Linear linear(4, 1000);
  initialize(linear, Init::torch_default, 1);
  const double top = largest(to_doubles(linear.parameters()[1].value.value()));
  EXPECT_LE(top, 0.5);
  EXPECT_GT(top, 0.49);
  initialize(linear, Init::kaiming_uniform, 1);
  EXPECT_EQ(largest(to_doubles(linear.parameters()[1].value.value())), 0);
}

// One parameter of each kind, none of which may move another's numbers.
class Kinds : public Module {
 public:
  Variable forward(const Variable& x, Context&) override { return x; }
  Shape output_shape(const Shape& input) const override { return input; }
  std::string describe() const override { return "Kinds"; }
  std::vector<NamedParameter> parameters() override {
    const auto named = [](const char* name, const Variable& v, InitKind kind) {
      return NamedParameter{.name = name, .value = v, .init = kind};
    };
    return {named("weight", weight_, InitKind::drawn), named("scale", scale_, InitKind::ones),
            named("shift", shift_, InitKind::zeros), named("table", table_, InitKind::normal),
            named("bias", bias_, InitKind::drawn)};
  }

 private:
  Variable weight_{Tensor::zeros({10, 100}), true}, scale_{Tensor::zeros({3}), true},
      shift_{Tensor::zeros({3}), true}, table_{Tensor::zeros({100, 100}), true},
      bias_{Tensor::zeros({1000}), true};
};

// The bias is bounded by the drawn weight's fan_in, 100; the variance of 10000 normals has
// deviation 0.014, of which 5.
TEST(Init, AParameterMayHaveItsOwnKind) {
  Kinds kinds;
  initialize(kinds, Init::torch_default, 1);
  std::vector<std::vector<double>> values;
  for (NamedParameter& p : kinds.parameters()) values.push_back(to_doubles(p.value.value()));
  EXPECT_EQ(values[1], (std::vector<double>{1, 1, 1}));
  EXPECT_EQ(values[2], (std::vector<double>{0, 0, 0}));
  EXPECT_NEAR(variance(values[3]), 1, 0.07);
  EXPECT_LE(largest(values[4]), 0.1);
  EXPECT_GT(largest(values[4]), 0.099);
}

TEST(Init, AFunctionOfTheSeedAlone) {
  Linear a(30, 20), b(30, 20);
  EXPECT_EQ(weights_of(a, Init::torch_default, 7), weights_of(b, Init::torch_default, 7));
  EXPECT_NE(weights_of(a, Init::torch_default, 7), weights_of(b, Init::torch_default, 8));
}

TEST(Init, RejectsIntegers) {
  Tensor t = Tensor::empty({2}, DType::i32);
  expect_error([&] { fill_uniform(t, 1, kStream); }, "dtype is i32; expected a floating dtype");
}

}  // namespace
}  // namespace limbeck::testing
