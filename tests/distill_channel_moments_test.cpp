// SPDX-License-Identifier: Apache-2.0
// Channel moments: the identity behind the two forms, and what the loss does not depend on.
#include <limbeck/distill/channel_moments.h>

#include <limbeck/autograd/arithmetic.h>
#include <limbeck/autograd/grad_check.h>
#include <limbeck/tests/fixture.h>

namespace limbeck::testing {
namespace {

class ChannelMomentsTest : public DeviceTest {
 protected:
  Tensor random(const Shape& shape, std::uint64_t seed) const {
    return make(random_values(shape.numel(), 1, seed), shape);
  }
};
LIMBECK_INSTANTIATE_FULL_PRECISION_TEST(ChannelMomentsTest);

constexpr MomentForm kForms[] = {MomentForm::positions, MomentForm::channels};

struct Outcome {
  double loss;
  Tensor gradient;
};

Outcome compare(const Tensor& receiver, const Tensor& source, MomentForm form) {
  ChannelMoments technique(without_batch(receiver.shape()), without_batch(source.shape()),
                           {.form = form});
  const Variable tap(receiver, true);
  const Variable loss =
      technique.loss(tap, technique.encode(source), static_cast<double>(receiver.dim(0)));
  loss.backward();
  return {loss.value().item(), tap.grad()};
}

/// Every pair of channels, map by map: O(C_S C_T P).
double naive(const Tensor& receiver, const Tensor& source) {
  const auto maps = [](const Tensor& t, std::int64_t n) {
    const std::int64_t P = t.dim(1), C = t.dim(2);
    const auto values = to_doubles(t);
    std::vector<std::vector<long double>> all;
    for (std::int64_t c = 0; c < C; ++c) {
      std::vector<long double> map;
      long double squares = 0;
      for (std::int64_t p = 0; p < P; ++p) {
        map.push_back(values[static_cast<std::size_t>((n * P + p) * C + c)]);
        squares += map.back() * map.back();
      }
      for (long double& v : map) v /= std::sqrt(squares);
      all.push_back(map);
    }
    return all;
  };
  const auto mean_kernel = [](const auto& a, const auto& b) {
    long double sum = 0;
    for (const auto& x : a)
      for (const auto& y : b) {
        long double product = 0;
        for (std::size_t p = 0; p < x.size(); ++p) product += x[p] * y[p];
        sum += product * product;
      }
    return sum / static_cast<long double>(a.size() * b.size());
  };
  long double total = 0;
  for (std::int64_t n = 0; n < receiver.dim(0); ++n) {
    const auto a = maps(receiver, n), b = maps(source, n);
    total += mean_kernel(a, a) + mean_kernel(b, b) - 2 * mean_kernel(a, b);
  }
  return static_cast<double>(total / receiver.dim(0));
}

// One channel (1,0) against (0,2): kernels 1 and 1 within, 0 across: loss 2, and a map turns
// towards the other at no first order. Against (3,3): across (1/sqrt 2)^2 = 1/2, loss 1. With
// a = (cos, sin) of angle 0, loss = 2 - 2 cos^2(45 - angle): slope -2 sin 90 = -2 along (0,1).
TEST_P(ChannelMomentsTest, HandNumbers) {
  for (const MomentForm form : kForms) {
    const Tensor x = make({1, 0}, {1, 2, 1});
    const Outcome across = compare(x, make({0, 2}, {1, 2, 1}), form);
    EXPECT_NEAR(across.loss, 2, 4 * tolerance());
    expect_close(across.gradient, {0, 0}, tolerance());
    const Outcome slanted = compare(x, make({3, 3}, {1, 2, 1}), form);
    EXPECT_NEAR(slanted.loss, 1, 4 * tolerance());
    expect_close(slanted.gradient, {0, -2}, 4 * tolerance());
  }
}

TEST_P(ChannelMomentsTest, BothFormsAreTheNaiveSum) {
  const Tensor s = random({3, 6, 4}, 1), t = random({3, 6, 9}, 2);
  const double expected = naive(s, t);
  const Outcome a = compare(s, t, MomentForm::positions), b = compare(s, t, MomentForm::channels);
  // Of terms of order 1, in f64 to 1e-12.
  const double bound = dtype() == DType::f64 ? 1e-12 : 1e-6;
  EXPECT_NEAR(a.loss, expected, bound);
  EXPECT_NEAR(b.loss, expected, bound);
  expect_close(a.gradient, to_doubles(b.gradient), 8 * tolerance());
}

TEST_P(ChannelMomentsTest, NeitherOrderNorNumberNorSizeOfChannelsMatters) {
  // Channels (1,2), (3,0) and the same in another order, doubled in number, any lengths and signs.
  const Tensor t = make({1, 3, 2, 0}, {1, 2, 2});
  const Tensor same = make({6, -1, 2, 3, 0, -2, 4, 0}, {1, 2, 4});
  for (const MomentForm form : kForms) {
    const Outcome r = compare(same, t, form);
    EXPECT_NEAR(r.loss, 0, 4 * tolerance());
    expect_close(r.gradient, std::vector<double>(8, 0), 4 * tolerance());
  }
}

TEST_P(ChannelMomentsTest, ImagesMeetOnTheSmallerExtents) {
  const Tensor s = random({2, 4, 4, 3}, 1), t = random({2, 2, 3, 5}, 2);
  ChannelMoments technique({4, 4, 3}, {2, 3, 5});
  EXPECT_EQ(technique.form(), MomentForm::positions);  // 36 * 8 against 6 * 49
  EXPECT_EQ(technique.code_shape(), (Shape{6, 6}));
  EXPECT_EQ(ChannelMoments({4, 4, 3}, {4, 4, 5}).form(), MomentForm::channels);
  EXPECT_EQ(ChannelMoments({4, 4, 3}, {4, 4, 5}).code_shape(), (Shape{16, 5}));
  EXPECT_EQ(technique.describe(), "channel_moments(5 channels over 6 positions)");
  const Outcome a = compare(s, t, MomentForm::positions), b = compare(s, t, MomentForm::channels);
  EXPECT_NEAR(a.loss, b.loss, 1e-6);
  EXPECT_EQ(a.gradient.shape(), s.shape());
}

TEST_P(ChannelMomentsTest, PartsOfABatchAddUpAndTheSourceGetsNoGradient) {
  const Tensor s = random({5, 6, 4}, 1), t = random({5, 6, 3}, 2);
  for (const MomentForm form : kForms) {
    ChannelMoments technique({6, 4}, {6, 3}, {.form = form});
    const Variable whole(s, true), first(s.rows(0, 2), true), rest(s.rows(2, 5), true);
    const Variable source(t, true);
    const Variable all = technique.loss(whole, technique.encode(source.value()), 5);
    const Variable parts = add(technique.loss(first, technique.encode(t.rows(0, 2)), 5),
                               technique.loss(rest, technique.encode(t.rows(2, 5)), 5));
    all.backward();
    parts.backward();
    EXPECT_NEAR(all.value().item(), parts.value().item(), 1e-6);
    expect_close(rest.grad(), to_doubles(whole.grad().rows(2, 5)), 2 * tolerance());
    EXPECT_FALSE(source.grad().defined());
    EXPECT_TRUE(technique.per_sample());
  }
}

TEST(ChannelMoments, Gradient) {  // 1e-6: h^2 f'''/6
  const Tensor s = Tensor::from(random_values(2 * 4 * 3, 1, 1), {2, 2, 2, 3});
  const Tensor t = Tensor::from(random_values(2 * 4 * 5, 1, 2), {2, 2, 2, 5});
  for (const MomentForm form : kForms) {
    ChannelMoments technique({2, 2, 3}, {2, 2, 5}, {.form = form});
    const auto result =
        grad_check([&](auto v) { return technique.loss(v[0], technique.encode(t), 2); }, {s});
    EXPECT_LT(result.error, 1e-6) << result.where;
  }
}

TEST(ChannelMoments, Rejections) {
  expect_error([] { ChannelMoments({4}, {4}); },
               "channel_moments: taps are (4) and (4); expected images or sequences");
  expect_error([] { ChannelMoments({3, 4}, {5, 4}); }, "channel_moments: taps are (3,4) and (5,4)");
  ChannelMoments technique({2, 3}, {2, 4}, {.form = MomentForm::channels});
  expect_error(
      [&] {
        technique.encode(Tensor::zeros({1, 2, 3}));
      },
      "channel_moments: source's tap has shape (1,2,3); expected samples of (2,4)");
  expect_error(
      [&] {
        technique.loss(Variable(Tensor::zeros({1, 2, 3})), Tensor::zeros({1, 2, 2}), 1);
      },
      "channel_moments: code has shape (1,2,2)");
}

}  // namespace
}  // namespace limbeck::testing
