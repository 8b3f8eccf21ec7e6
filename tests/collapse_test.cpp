// SPDX-License-Identifier: Apache-2.0
// Why targets are made by encoders that nothing trains and no gradient reaches: with both, codes
// keep what they say of a sample; without, two models agree on saying nothing.
#include <cmath>

#include <limbeck/autograd/arithmetic.h>
#include <limbeck/autograd/linear.h>
#include <limbeck/distill/effective_rank.h>
#include <limbeck/nn/init.h>
#include <limbeck/nn/optimizer.h>
#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

constexpr std::int64_t kSamples = 64, kIn = 12, kWidth = 10, kCode = 6;

Variable weight(std::int64_t out, std::int64_t in, std::uint32_t layer, bool trained = true) {
  Tensor w = Tensor::empty({out, in}, DType::f32);
  fill_normal(w, 1 / std::sqrt(static_cast<double>(in)), {5, 0, layer, RngPurpose::init});
  return Variable(w, trained);
}

/// Two models (one layer each) whose features are to agree once A has mapped the one's and B the
/// other's; both are trained.
struct Pair {
  Variable small = weight(kWidth, kIn, 0), big = weight(kWidth, kIn, 1);
  Variable a = weight(kCode, kWidth, 2), b;
  Variable x;

  explicit Pair(bool trained_target) : b(weight(kCode, kWidth, 3, trained_target)) {
    Tensor input = Tensor::empty({kSamples, kIn}, DType::f32);
    fill_normal(input, 1, {5, 0, 9, RngPurpose::init});
    x = Variable(input);
  }
  Variable feature(const Variable& w) const { return linear(x, w, {}, Activation::tanh); }
  Variable target() const { return linear(feature(big), b, {}); }

  /// 3000 steps of what the models are to agree on alone.
  void train(bool stop_gradient) {
    std::vector<NamedParameter> parameters = {{"small", small}, {"big", big}, {"a", a}};
    if (b.requires_grad()) parameters.push_back({"b", b});
    Adamw optimizer(parameters, {.parameters = {.weight_decay = 0.1}});
    for (int step = 0; step < 3000; ++step) {
      optimizer.zero_grad();
      const Variable code = target();
      const Variable r =
          sub(linear(feature(small), a, {}), stop_gradient ? Variable(code.value().clone()) : code);
      mean(mul(r, r)).backward();
      optimizer.step(0.02);
    }
  }
  /// Mean square of the code about its mean.
  double spread() const {
    const std::vector<double> code = to_doubles(target().value());
    double sum = 0;
    for (std::size_t k = 0; k < kCode; ++k) {
      double mean = 0, square = 0;
      for (std::size_t n = 0; n < kSamples; ++n) mean += code[n * kCode + k] / kSamples;
      for (std::size_t n = 0; n < kSamples; ++n)
        square += (code[n * kCode + k] - mean) * (code[n * kCode + k] - mean) / kSamples;
      sum += square / kCode;
    }
    return sum;
  }
  double rank() const { return effective_rank(target().value()); }
};

TEST(Collapse, FixedEncodersAndStoppedGradientsKeepTheCode) {
  Pair pair(false);
  const double before = pair.spread(), rank = pair.rank();
  pair.train(true);
  EXPECT_GT(pair.spread(), 0.9 * before);
  EXPECT_GT(pair.rank(), 0.9 * rank);
}

// The negative control: the loss falls, because there is nothing left to disagree on. What shows it
// is the spread of the code; its effective rank, which no scale touches, does not fall below 2, so
// a rank alone would not tell.
TEST(Collapse, TrainedTargetsSayNothingInTheEnd) {
  Pair pair(true);
  const double before = pair.spread();
  pair.train(false);
  EXPECT_LT(pair.spread(), 1e-9 * before);
  EXPECT_GT(pair.rank(), 2);
}

TEST(Collapse, AFixedEncoderAloneIsNotEnough) {
  Pair pair(false);
  const double before = pair.spread();
  pair.train(false);
  EXPECT_LT(pair.spread(), 1e-6 * before);
}

}  // namespace
}  // namespace limbeck::testing
