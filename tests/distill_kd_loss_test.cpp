// SPDX-License-Identifier: Apache-2.0
// Tests of the distillation loss as a differentiable op: fused against composed, and its gradient.
#include <limbeck/autograd/arithmetic.h>
#include <limbeck/autograd/grad_check.h>
#include <limbeck/distill/kd_loss.h>
#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

KdLossOptions options(double tau, double kd_weight, double ce_weight) {
  KdLossOptions o;
  o.tau = tau;
  o.kd_weight = kd_weight;
  o.ce_weight = ce_weight;
  return o;
}

Tensor cyclic_labels(std::int64_t N, std::int64_t V, Device device) {
  std::vector<std::int32_t> labels;
  for (std::int64_t n = 0; n < N; ++n)
    labels.push_back(n % 5 == 3 ? kIgnoreIndex : static_cast<std::int32_t>((n * 7) % V));
  return Tensor::from(labels, {N}, device);
}

class DistillKdLossTest : public DeviceTest {
 protected:
  void expect_fused_equals_composed(std::int64_t N, std::int64_t V, const KdLossOptions& o) const;
};
LIMBECK_INSTANTIATE_DEVICE_TEST(DistillKdLossTest);

// Logits of size 3, so divergences of order 1 in which the composed form keeps its digits. 8 times
// the tolerance: the composed form rounds ten intermediate tensors.
void DistillKdLossTest::expect_fused_equals_composed(std::int64_t N, std::int64_t V,
                                                     const KdLossOptions& o) const {
  const Tensor zs = make(random_values(N * V, 3, 1), {N, V});
  const Tensor zt = make(random_values(N * V, 3, 2), {N, V});
  const Tensor labels = cyclic_labels(N, V, device());
  const Variable fused(zs, true), composed(zs, true);
  const Variable a = kd_loss(fused, zt, labels, o), b = kd_loss_composed(composed, zt, labels, o);
  scale(a, 3).backward();
  scale(b, 3).backward();
  const std::string what =
      detail::concat("N ", N, " V ", V, " tau ", o.tau, " kd ", o.kd_weight, " ce ", o.ce_weight);
  expect_close(a.value(), to_doubles(b.value()), 8 * tolerance(), what);
  expect_close(fused.grad(), to_doubles(composed.grad()), 8 * tolerance(), what);
}

TEST_P(DistillKdLossTest, FusedEqualsComposed) {
  for (const double tau : {1.0, 4.0})
    for (const auto& [kd, ce] : {std::pair(1.0, 0.0), std::pair(0.7, 0.3), std::pair(0.0, 1.0)})
      for (const std::int64_t V : {2, 10, 33})
        expect_fused_equals_composed(7, V, options(tau, kd, ce));
}

// Student (0,0), teacher (log 3, 0), tau = 1: pt = (3/4,1/4), ps = (1/2,1/2).
// KL = 3/4 log(3/2) + 1/4 log(1/2) = 0.130812; gradient ps - pt = (-1/4,1/4), twice that upstream.
TEST_P(DistillKdLossTest, HandNumbers) {
  const Variable student(make({0, 0}, {1, 2}), true);
  const Tensor teacher = make({std::log(3.0), 0}, {1, 2});
  const Variable loss = kd_loss(student, teacher, Tensor(), options(1, 1, 0));
  // bf16 logits round log 3 by up to 2^-9 of it, which moves KL by some 2^-8 of itself.
  const double bound = dtype() == DType::bf16 ? 0x1p-6 : 4 * tolerance();
  expect_close(loss.value(), {0.75 * std::log(1.5) + 0.25 * std::log(0.5)}, bound);
  scale(loss, 2).backward();
  expect_close(student.grad(), {-0.5, 0.5}, bound);
}

TEST_P(DistillKdLossTest, EqualLogitsCostNothing) {
  const Variable student(make(random_values(30, 5), {3, 10}), true);
  const Variable loss = kd_loss(student, student.value(), Tensor(), options(3, 1, 0));
  loss.backward();
  EXPECT_EQ(loss.value().item(), 0);
  expect_close(student.grad(), std::vector<double>(30, 0.0), 0);
}

TEST_P(DistillKdLossTest, WithoutGradientsTheValueIsTheSame) {
  const Variable student(make(random_values(30, 5), {3, 10}), true);
  const Tensor teacher = make(random_values(30, 5, 2), {3, 10});
  const Variable recorded = kd_loss(student, teacher, Tensor(), options(3, 1, 0));
  const NoGrad no_grad;
  const Variable bare = kd_loss(student, teacher, Tensor(), options(3, 1, 0));
  EXPECT_FALSE(bare.requires_grad());
  EXPECT_TRUE(same_bytes(bare.value(), recorded.value()));
}

TEST(DistillKdLoss, Gradients) {  // 1e-6: h^2 f'''/6
  const Tensor zt = Tensor::from(random_values(50, 3, 2), {5, 10});
  const Tensor labels = cyclic_labels(5, 10, Device::cpu());
  for (const double tau : {1.0, 4.0})
    for (const bool fused : {true, false}) {
      const GradCheckResult result = grad_check(
          [&](std::span<const Variable> v) {
            const KdLossOptions o = options(tau, 0.7, 0.3);
            return fused ? kd_loss(v[0], zt, labels, o) : kd_loss_composed(v[0], zt, labels, o);
          },
          {Tensor::from(random_values(50, 3), {5, 10})});
      EXPECT_LT(result.error, 1e-6) << fused << " " << result.where;
    }
}

TEST(DistillKdLoss, Rejections) {
  const Variable student(Tensor::zeros({32, 10}), true);
  expect_error([&] { kd_loss(Variable(Tensor::zeros({3})), Tensor(), Tensor(), options(1, 1, 0)); },
               "kd_loss: student has shape (3); expected (N,V)");
  expect_error(
      [&] {
        kd_loss(student, Tensor::zeros({32, 100}), Tensor(), options(1, 1, 0));
      },
      "kd_loss: teacher has shape (32,100), student (32,10); expected equal shapes (N,V)");
  expect_error([&] { kd_loss(student, Tensor::zeros({32, 10}), Tensor(), {}); }, "tau");
}

}  // namespace
}  // namespace limbeck::testing
