// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/count_sketch.h>

#include <limbeck/tests/same_bits.h>

namespace limbeck::testing {
namespace {

const CountSketchHash kHash = {.seed = 7, .layer = 3, .factor = 1};

/// Bucket and sign as the header's words read, from Philox itself.
struct Target {
  std::size_t bucket;
  double sign;
};
Target target(std::int64_t K, std::int64_t d) {
  const Philox4 block = philox4x32({static_cast<std::uint32_t>(d / 4), 1, 3, 8}, 7);
  const std::uint32_t word[4] = {block.x, block.y, block.z, block.w};
  const double unit = static_cast<double>(word[d % 4] / 2) * 0x1p-31;
  return {static_cast<std::size_t>(unit * static_cast<double>(K)), word[d % 4] % 2 ? -1.0 : 1.0};
}

class CountSketchTest : public DeviceTest {
 protected:
  Tensor forward(const Tensor& x, const CountSketchPlan& plan) const {
    Tensor y = make_like({x.dim(0), plan.K});
    count_sketch_forward(y, x, plan);
    return y;
  }
  Tensor backward(const Tensor& dy, const CountSketchPlan& plan) const {
    Tensor dx = make_like({dy.dim(0), plan.D});
    count_sketch_backward(dx, dy, plan);
    return dx;
  }
};
LIMBECK_INSTANTIATE_DEVICE_TEST(CountSketchTest);

TEST_P(CountSketchTest, HandNumbers) {
  // In two buckets, columns 0 .. 4 go to 0, 1, 0, 1, 1 with signs +, -, +, +, -:
  // 1 + 4 = 5 and -2 + 8 - 16 = -10; back, (3, 5) goes to (3, -5, 3, 5, -5).
  CountSketchPlan plan = count_sketch_plan(5, 2, kHash, device());
  plan.target = Tensor::from(std::vector<std::int32_t>{0, 3, 0, 2, 3}, {5}, device());
  plan.columns = Tensor::from(std::vector<std::int32_t>{0, 3, 4, 6, -1, 9}, {3, 2}, device());
  expect_close(forward(make({1, 2, 4, 8, 16}, {1, 5}), plan), {5, -10}, 0);
  expect_close(backward(make({3, 5}, {1, 2}), plan), {3, -5, 3, 5, -5}, 0);
}

TEST_P(CountSketchTest, MatchesDefinition) {
  // A stage holds 2048 columns and a block 1024 buckets; rows of odd lengths are misaligned.
  struct Case {
    std::int64_t N, D, K;
  };
  for (const auto& [N, D, K] : {Case{1, 1, 1}, Case{3, 40, 7}, Case{5, 64, 8}, Case{17, 33, 64},
                                Case{33, 256, 16}, Case{2, 5000, 100}, Case{4, 4104, 1032}}) {
    const CountSketchPlan plan = count_sketch_plan(D, K, kHash, device());
    const Tensor x = make(random_values(N * D, 1, 1), {N, D});
    const Tensor dy = make(random_values(N * K, 1, 2), {N, K});
    const auto xv = to_doubles(x), dyv = to_doubles(dy);
    std::vector<double> y(static_cast<std::size_t>(N * K)), dx(xv.size());
    for (std::size_t n = 0; n < static_cast<std::size_t>(N); ++n)
      for (std::size_t d = 0; d < static_cast<std::size_t>(D); ++d) {
        const Target t = target(K, static_cast<std::int64_t>(d));
        y[n * K + t.bucket] += t.sign * xv[n * D + d];
        dx[n * D + d] = t.sign * dyv[n * K + t.bucket];
      }
    const std::string what = detail::concat("N ", N, " D ", D, " K ", K);
    expect_close(forward(x, plan), y, tolerance(), what);
    expect_close(backward(dy, plan), dx, 0, what);
  }
}

TEST_P(CountSketchTest, EveryDeviceGivesTheSameBits) {
  const std::int64_t N = 6, D = 1000, K = 50;
  const CountSketchPlan plan = count_sketch_plan(D, K, kHash, device());
  const CountSketchPlan host = count_sketch_plan(D, K, kHash);
  const Tensor x = make(random_values(N * D), {N, D});
  Tensor expected = Tensor::empty({N, K}, dtype());
  count_sketch_forward(expected, x.to(Device::cpu()), host);
  EXPECT_TRUE(same_bytes(forward(x, plan), expected));
}

TEST_P(CountSketchTest, RowsOfAViewAreRowsOfTheWhole) {
  const CountSketchPlan plan = count_sketch_plan(37, 10, kHash, device());
  const Tensor x = make(random_values(20 * 37), {20, 37});
  EXPECT_TRUE(same_bytes(forward(x.rows(7, 12), plan), forward(x, plan).rows(7, 12)));
  const Tensor dy = make(random_values(20 * 10), {20, 10});
  EXPECT_TRUE(same_bytes(backward(dy.rows(7, 12), plan), backward(dy, plan).rows(7, 12)));
}

TEST_P(CountSketchTest, NoRows) {
  expect_no_launch();
  const CountSketchPlan plan = count_sketch_plan(8, 4, kHash, device());
  EXPECT_EQ(forward(make({}, {0, 8}), plan).numel(), 0);
  EXPECT_EQ(backward(make({}, {0, 4}), plan).numel(), 0);
}

TEST(CountSketch, BackwardIsTheTranspose) {
  const std::int64_t N = 3, D = 50, K = 9;
  const CountSketchPlan plan = count_sketch_plan(D, K, kHash);
  const Tensor x = Tensor::from(random_values(N * D, 1, 1), {N, D});
  const Tensor dy = Tensor::from(random_values(N * K, 1, 2), {N, K});
  Tensor y = Tensor::empty({N, K}, DType::f64), dx = Tensor::empty({N, D}, DType::f64);
  count_sketch_forward(y, x, plan);
  count_sketch_backward(dx, dy, plan);
  const auto dot = [](const Tensor& a, const Tensor& b) {
    const auto u = to_doubles(a), v = to_doubles(b);
    double sum = 0;
    for (std::size_t i = 0; i < u.size(); ++i) sum += u[i] * v[i];
    return sum;
  };
  EXPECT_NEAR(dot(y, dy), dot(x, dx), 1e-12);
}

TEST(CountSketch, HashIsPartOfTheFormat) {
  // Written down from the first version: a change here makes stored codes unreadable.
  const CountSketchPlan plan = count_sketch_plan(8, 100, {.seed = 1, .layer = 2, .factor = 3});
  EXPECT_EQ(plan.target.to_vector<std::int32_t>(),
            (std::vector<std::int32_t>{169, 180, 167, 69, 19, 98, 31, 95}));
  // A factor, layer or seed of its own is a hash of its own.
  for (const CountSketchHash other : {CountSketchHash{1, 2, 4}, {1, 3, 3}, {2, 2, 3}})
    EXPECT_FALSE(same_bytes(count_sketch_plan(8, 100, other).target, plan.target));
}

TEST(CountSketch, BucketsAreEquallyFull) {
  // 100 buckets of 1000 columns, standard deviation 31.5: five of them.
  const std::int64_t D = 100000;
  std::vector<int> size(100, 0), negative(1, 0);
  for (std::int64_t d = 0; d < D; ++d) {
    const std::int32_t t = count_sketch_target(kHash, 100, d);
    ++size[static_cast<std::size_t>(t >> 1)];
    negative[0] += t & 1;
  }
  for (int n : size) EXPECT_NEAR(n, 1000, 158);
  EXPECT_NEAR(negative[0], D / 2, 5 * 158);
}

TEST(CountSketch, SameBitsForThreadsAndInstructionSets) {
  const std::int64_t N = 90, D = 3001, K = 70;
  const CountSketchPlan plan = count_sketch_plan(D, K, kHash);
  const Tensor x = Tensor::from(random_values(N * D), {N, D}).to(DType::f32);
  expect_same_bits([&] {
    Tensor y = Tensor::empty({N, K}), dx = Tensor::empty({N, D});
    count_sketch_forward(y, x, plan);
    count_sketch_backward(dx, y, plan);
    return std::vector{y, dx};
  });
}

TEST(CountSketch, Rejections) {
  const CountSketchPlan plan = count_sketch_plan(8, 4, kHash);
  Tensor x = Tensor::zeros({2, 8}), y = Tensor::zeros({2, 4}), wrong = Tensor::zeros({2, 5});
  expect_error([] { count_sketch_plan(0, 4, kHash); },
               "count_sketch_plan: D is 0; expected 1 <= D < 2^30");
  expect_error([] { count_sketch_plan(8, 4097, kHash); },
               "count_sketch_plan: K is 4097; expected 1 to 4096");
  expect_error([&] { count_sketch_forward(wrong, x, plan); },
               "count_sketch_forward: x has shape (2,8), y (2,5); expected (N,8) and (N,4)");
  expect_error([&] { count_sketch_forward(y, wrong, plan); },
               "count_sketch_forward: x has shape (2,5), y (2,4); expected (N,8) and (N,4)");
  expect_error(
      [&] {
        count_sketch_backward(x, Tensor::zeros({2, 4}, DType::f64), plan);
      },
      "count_sketch_backward: dx is f32, dy f64; expected equal dtypes");
  Tensor integers = Tensor::zeros({2, 8}, DType::i32);
  expect_error([&] { count_sketch_backward(integers, y, plan); },
               "count_sketch_backward: dx is i32; expected a floating dtype");
  expect_error([&] { count_sketch_forward(y, Tensor(), plan); },
               "count_sketch_forward: x or y is undefined");
  expect_error([&] { count_sketch_forward(y, x, {}); }, "count_sketch_forward: plan is empty");
}

}  // namespace
}  // namespace limbeck::testing
