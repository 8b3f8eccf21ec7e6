// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/swiglu.h>

#include <cmath>

#include <limbeck/tests/same_bits.h>

namespace limbeck::testing {
namespace {

class SwigluTest : public DeviceTest {};
LIMBECK_INSTANTIATE_DEVICE_TEST(SwigluTest);

// silu(0) = 0, silu'(0) = 1/2; silu(ln 3) = 3/4 ln 3, silu'(ln 3) = 3/4 + ln 3 3/16.
TEST_P(SwigluTest, HandNumbers) {
  const double ln3 = std::log(3.0);
  const Tensor a = make({0, ln3}, {2}), b = make({5, 2}, {2}), dy = make({4, 1}, {2});
  Tensor y = make_like({2}), da = make_like({2}), db = make_like({2});
  swiglu_forward(y, a, b);
  expect_close(y, {0, 1.5 * ln3}, tolerance());
  swiglu_backward(da, db, dy, a, b);
  expect_close(da, {10, 2 * (0.75 + ln3 * 3 / 16)}, tolerance());
  expect_close(db, {0, 0.75 * ln3}, tolerance());
}

TEST_P(SwigluTest, MatchesDefinitionAndLargeGatesStayFinite) {
  for (const double scale : {3.0, 60.0})
    for (const std::int64_t n : {1, 7, 64, 1001}) {
      const Tensor a = make(random_values(n, scale), {n}), b = make(random_values(n, 1, 2), {n});
      const Tensor dy = make(random_values(n, 1, 3), {n});
      const auto av = to_doubles(a), bv = to_doubles(b), g = to_doubles(dy);
      std::vector<double> y, da, db;
      for (std::size_t i = 0; i < av.size(); ++i) {
        const double s = 1 / (1 + std::exp(-av[i]));
        y.push_back(av[i] * s * bv[i]);
        da.push_back(g[i] * bv[i] * (s + av[i] * s * (1 - s)));
        db.push_back(g[i] * av[i] * s);
      }
      Tensor out = make_like({n}), grad_a = make_like({n}), grad_b = make_like({n});
      swiglu_forward(out, a, b);
      expect_close(out, y, tolerance());
      swiglu_backward(grad_a, grad_b, dy, a, b);
      expect_close(grad_a, da, tolerance());
      expect_close(grad_b, db, tolerance());
    }
}

TEST_P(SwigluTest, OutputsMayBeInputs) {
  const Tensor a = make(random_values(100, 3), {100}), b = make(random_values(100, 1, 2), {100});
  Tensor y = make_like({100}), in_place = a.clone();
  swiglu_forward(y, a, b);
  swiglu_forward(in_place, in_place, b);
  EXPECT_TRUE(same_bytes(y, in_place));
  Tensor da = make_like({100}), db = make_like({100}), dy = y.clone(), over_b = b.clone();
  swiglu_backward(da, db, dy, a, b);
  swiglu_backward(over_b, dy, dy, a, over_b);
  EXPECT_TRUE(same_bytes(da, over_b));
  EXPECT_TRUE(same_bytes(db, dy));
}

TEST(Swiglu, SameBitsForThreadsAndInstructionSets) {
  const Tensor a = Tensor::from(random_values(70001, 5), {70001}).to(DType::f32);
  const Tensor b = Tensor::from(random_values(70001, 1, 2), {70001}).to(DType::f32);
  expect_same_bits([&] {
    Tensor y = Tensor::empty_like(a), da = Tensor::empty_like(a), db = Tensor::empty_like(a);
    swiglu_forward(y, a, b);
    swiglu_backward(da, db, y, a, b);
    return std::vector{y, da, db};
  });
}

TEST(Swiglu, Rejections) {
  Tensor x = Tensor::zeros({2}), wide = Tensor::zeros({3}), ids = Tensor::zeros({2}, DType::i32);
  expect_error([&] { swiglu_forward(x, x, wide); },
               "swiglu_forward: b is f32(3) on cpu, a f32(2) on cpu; expected equal ones");
  expect_error([&] { swiglu_forward(wide, x, x); }, "swiglu_forward: y is f32(3) on cpu");
  expect_error([&] { swiglu_forward(ids, ids, ids); }, "swiglu_forward: a is i32; expected");
  expect_error([&] { swiglu_backward(x, x, x, Tensor(), x); },
               "swiglu_backward: a is undefined; expected a floating dtype");
  expect_error([&] { swiglu_backward(wide, x, x, x, x); }, "swiglu_backward: da is f32(3)");
  expect_error([&] { swiglu_backward(x, wide, x, x, x); }, "swiglu_backward: db is f32(3)");
  expect_error([&] { swiglu_backward(x, x, wide, x, x); }, "swiglu_backward: dy is f32(3)");
}

}  // namespace
}  // namespace limbeck::testing
