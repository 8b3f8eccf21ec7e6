// SPDX-License-Identifier: Apache-2.0
// Tests of the distillation head as a differentiable op: against matrix products and the loss
// written with ordinary ops, its gradient, and gradients recomputed against kept ones.
#include <limbeck/distill/kd_head.h>

#include <limbeck/autograd/arithmetic.h>
#include <limbeck/autograd/grad_check.h>
#include <limbeck/autograd/matmul.h>
#include <limbeck/distill/kd_loss.h>
#include <limbeck/kernels/matmul.h>
#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

constexpr std::int64_t N = 7, V = 33, Hs = 5, Ht = 9;

KdHeadOptions options(std::int64_t chunk, DType dtype) {
  return {.loss = {.tau = 2, .kd_weight = 0.7, .ce_weight = 0.3},
          .logits_bytes = static_cast<std::size_t>(2 * chunk * V) * dtype_size(dtype)};
}

class DistillKdHeadTest : public DeviceTest {
 protected:
  Tensor random(std::int64_t rows, std::int64_t columns, std::uint64_t seed) const {
    return make(random_values(rows * columns, 1, seed), {rows, columns});
  }
  void SetUp() override {
    DeviceTest::SetUp();
    if (IsSkipped()) return;
    hidden = random(N, Hs, 1);
    weight = random(V, Hs, 2);
    teacher_hidden = random(N, Ht, 3);
    teacher_weight = random(V, Ht, 4);
    std::vector<std::int32_t> label;
    for (std::int32_t n = 0; n < N; ++n) label.push_back(n % 5 == 3 ? kIgnoreIndex : n * 4);
    labels = Tensor::from(label, {N}, device());
  }
  Variable head(const Variable& x, const Variable& w, KdHeadGradient gradient) const {
    return kd_head(x, w, teacher_hidden, teacher_weight, labels, options(3, dtype()), gradient);
  }

  Tensor hidden, weight, teacher_hidden, teacher_weight, labels;
};
LIMBECK_INSTANTIATE_DEVICE_TEST(DistillKdHeadTest);

// 8 times the tolerance: the composed form rounds ten intermediate tensors.
TEST_P(DistillKdHeadTest, EqualsTheComposition) {
  const Variable x(hidden, true), w(weight, true), x2(hidden, true), w2(weight, true);
  const Variable loss = head(x, w, KdHeadGradient::in_forward);
  Tensor zt = make_like({N, V});
  matmul(zt, teacher_hidden, Trans::no, teacher_weight, Trans::yes);
  const Variable composed =
      kd_loss_composed(matmul(x2, Trans::no, w2, Trans::yes), zt, labels, options(3, dtype()).loss);
  expect_close(loss.value(), to_doubles(composed.value()), 8 * tolerance());
  scale(loss, 3).backward();
  scale(composed, 3).backward();
  expect_close(x.grad(), to_doubles(x2.grad()), 8 * tolerance());
  expect_close(w.grad(), to_doubles(w2.grad()), 8 * tolerance());
  EXPECT_EQ(w.grad().dtype(), dtype());
}

TEST_P(DistillKdHeadTest, RecomputedGradientsAreTheSame) {
  const Variable x(hidden, true), w(weight, true), x2(hidden, true), w2(weight, true);
  const Variable kept = scale(head(x, w, KdHeadGradient::in_forward), 3);
  const Variable recomputed = scale(head(x2, w2, KdHeadGradient::recomputed), 3);
  kept.backward();
  recomputed.backward();
  EXPECT_TRUE(same_bytes(kept.value(), recomputed.value()));
  EXPECT_TRUE(same_bytes(x.grad(), x2.grad()));
  EXPECT_TRUE(same_bytes(w.grad(), w2.grad()));
}

TEST_P(DistillKdHeadTest, GradientsOfOneInputOnlyAndOfNone) {
  const Variable x(hidden, true), w(weight, true), fixed_x(hidden), fixed_w(weight);
  head(x, w, KdHeadGradient::in_forward).backward();
  for (const KdHeadGradient gradient : {KdHeadGradient::in_forward, KdHeadGradient::recomputed}) {
    const Variable only_x(hidden, true), only_w(weight, true);
    head(only_x, fixed_w, gradient).backward();
    head(fixed_x, only_w, gradient).backward();
    EXPECT_TRUE(same_bytes(only_x.grad(), x.grad()));
    EXPECT_TRUE(same_bytes(only_w.grad(), w.grad()));
    EXPECT_FALSE(head(fixed_x, fixed_w, gradient).requires_grad());
  }
}

TEST(DistillKdHead, Gradients) {  // 1e-6: h^2 f'''/6
  const auto random = [](std::int64_t rows, std::int64_t columns, std::uint64_t seed) {
    return Tensor::from(random_values(rows * columns, 1, seed), {rows, columns});
  };
  const Tensor xt = random(4, 3, 1), wt = random(6, 3, 2);
  const Tensor labels = Tensor::from(std::vector<std::int32_t>{5, kIgnoreIndex, 0, 2}, {4});
  for (const KdHeadGradient gradient : {KdHeadGradient::in_forward, KdHeadGradient::recomputed}) {
    const GradCheckResult result = grad_check(
        [&](std::span<const Variable> v) {
          KdHeadOptions o = options(3, DType::f64);
          o.logits_bytes = 3 * 2 * 6 * sizeof(double);
          return kd_head(v[0], v[1], xt, wt, labels, o, gradient);
        },
        {random(4, 2, 3), random(6, 2, 4)});
    EXPECT_LT(result.error, 1e-6) << result.where;
  }
}

TEST(DistillKdHead, Rejections) {
  const Variable x(Tensor::zeros({3}), true), w(Tensor::zeros({4, 3}), true);
  expect_error([&] { kd_head(x, w, Tensor(), Tensor(), Tensor(), {}); },
               "kd_head: student_hidden has shape (3); expected a matrix");
}

}  // namespace
}  // namespace limbeck::testing
