// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/unit_mean.h>

#include <limbeck/tests/same_bits.h>

namespace limbeck::testing {
namespace {

struct Result {
  Tensor y, mean, dx;
};

Result run(const Tensor& x, const Tensor& dy) {
  const DType full = x.dtype() == DType::f64 ? DType::f64 : DType::f32;
  Result r;
  r.y = Tensor::full(x.shape(), 777, x.dtype(), x.device());
  r.dx = r.y.clone();
  r.mean = Tensor::full({1}, 777, full, x.device());
  unit_mean_forward(r.y, r.mean, x);
  unit_mean_backward(r.dx, dy, r.y, r.mean);
  return r;
}

/// In [0.5, 1.5).
std::vector<double> lengths(std::int64_t n) {
  std::vector<double> values = random_values(n, 0.5, 1);
  for (double& v : values) v += 1;
  return values;
}

class UnitMeanTest : public DeviceTest {};
LIMBECK_INSTANTIATE_DEVICE_TEST(UnitMeanTest);

// Mean 2: y = 1/2, 3/2. Of dy = (2,0), sum dy y / 2 = 1/2: dx = (3/2, -1/2) / 2.
TEST_P(UnitMeanTest, HandNumbers) {
  const Result r = run(make({1, 3}, {2}), make({2, 0}, {2}));
  expect_close(r.mean, {2}, tolerance());
  expect_close(r.y, {0.5, 1.5}, tolerance());
  expect_close(r.dx, {0.75, -0.25}, tolerance());
}

TEST_P(UnitMeanTest, MatchesDefinitionAtEverySize) {
  for (const std::int64_t n : {1, 7, 100, 1024, 5001}) {
    const Tensor x = make(lengths(n), {n}), dy = make(random_values(n, 1, 2), {n});
    const auto in = to_doubles(x), grad = to_doubles(dy);
    const double count = static_cast<double>(n);
    double mean = 0, along = 0;
    for (const double v : in) mean += v / count;
    for (std::size_t i = 0; i < in.size(); ++i) along += grad[i] * in[i] / mean / count;
    std::vector<double> y, dx;
    for (std::size_t i = 0; i < in.size(); ++i) {
      y.push_back(in[i] / mean);
      dx.push_back((grad[i] - along) / mean);
    }
    const Result r = run(x, dy);
    const std::string what = std::to_string(n);
    expect_close(r.mean, {mean}, 2e-6, what);
    expect_close(r.y, y, tolerance(), what);
    // One element is always 1, and its gradient the difference of equal numbers.
    if (n > 1) expect_close(r.dx, dx, 2 * tolerance(), what);
  }
}

TEST_P(UnitMeanTest, AFactorChangesNothingAndZerosStay) {
  std::vector<double> values = lengths(40);
  const Tensor dy = make(random_values(40, 1, 2), {5, 8});
  const Result a = run(make(values, {5, 8}), dy);
  for (double& v : values) v *= 16;
  EXPECT_TRUE(same_bytes(run(make(values, {5, 8}), dy).y, a.y));
  const Result zero = run(make({0, 0, 0}, {3}), make({1, 2, 3}, {3}));
  expect_close(zero.y, {0, 0, 0}, 0);
  expect_close(zero.dx, {0, 0, 0}, 0);
}

TEST_P(UnitMeanTest, MayWriteOverItsInput) {
  Tensor x = make(lengths(300), {300}), dy = make(random_values(300, 1, 2), {300});
  const Result r = run(x, dy);
  Tensor mean = r.mean.clone();
  unit_mean_forward(x, mean, x);
  EXPECT_TRUE(same_bytes(x, r.y));
  unit_mean_backward(dy, dy, r.y, r.mean);
  EXPECT_TRUE(same_bytes(dy, r.dx));
}

TEST(UnitMean, SameBitsForThreadsAndInstructionSets) {
  expect_same_bits([&] {
    const std::int64_t n = 100000;
    const Tensor x = Tensor::from(lengths(n), {n}).to(DType::f32);
    const Result r = run(x, Tensor::from(random_values(n), {n}).to(DType::f32));
    return std::vector{r.y, r.mean, r.dx};
  });
}

TEST(UnitMean, Rejections) {
  Tensor x = Tensor::zeros({3}), two = Tensor::zeros({2}), one = Tensor::zeros({1});
  expect_error([&] { unit_mean_forward(x, one, Tensor::zeros({0})); },
               "unit_mean_forward: x is f32(0); expected floating numbers, at least one");
  expect_error([&] { unit_mean_forward(two, one, x); }, "unit_mean_forward: y is f32(2)");
  expect_error([&] { unit_mean_forward(x, two, x); }, "unit_mean_forward: mean is f32(2)");
  expect_error([&] { unit_mean_backward(x, two, x, one); }, "unit_mean_backward: dy is f32(2)");
  expect_error([&] { unit_mean_backward(two, x, x, one); }, "unit_mean_backward: dx is f32(2)");
}

}  // namespace
}  // namespace limbeck::testing
