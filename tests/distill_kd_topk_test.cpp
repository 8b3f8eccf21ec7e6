// SPDX-License-Identifier: Apache-2.0
// Tests of the loss against a sparse teacher as a differentiable op.
#include <limbeck/distill/kd_topk.h>

#include <cmath>

#include <limbeck/autograd/arithmetic.h>
#include <limbeck/autograd/grad_check.h>
#include <limbeck/distill/kd_loss.h>
#include <limbeck/kernels/topk.h>
#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

KdLossOptions options(double tau, double kd_weight, double ce_weight) {
  return {.tau = tau, .kd_weight = kd_weight, .ce_weight = ce_weight};
}

DType full_precision(DType dtype) { return dtype == DType::f64 ? DType::f64 : DType::f32; }

/// The K largest of a teacher's logits, as a cache stores them.
SparseTeacher top_of(const Tensor& logits, std::int64_t K, double tau) {
  const std::int64_t N = logits.dim(0);
  const DType dtype = full_precision(logits.dtype());
  SparseTeacher top = {Tensor::empty({N, K}, DType::i32, logits.device()),
                       Tensor::empty({N, K}, dtype, logits.device()),
                       Tensor::empty({N}, dtype, logits.device())};
  topk(top.logits, top.indices, top.rest_lse, logits, tau);
  return top;
}

Tensor labels_of(std::int64_t N, std::int64_t V, Device device) {
  std::vector<std::int32_t> labels;
  for (std::int64_t n = 0; n < N; ++n)
    labels.push_back(n % 5 == 3 ? kIgnoreIndex : static_cast<std::int32_t>((n * 7) % V));
  return Tensor::from(labels, {N}, device);
}

class DistillKdTopkTest : public DeviceTest {};
LIMBECK_INSTANTIATE_DEVICE_TEST(DistillKdTopkTest);

// Student (0,0,0,0), teacher (log 4, 0, log 2, 0), tau = 1, K = 1: pt = (1/2 | 1/2 for the rest),
// ps = (1/4 | 3/4). KL = 1/2 log 2 + 1/2 log(2/3) = 0.143841; the gradient is ps - pt = -1/4 of the
// stored class, and ps (1 - pt_rest / ps_rest) = 1/4 (1 - 2/3) = 1/12 of the three others; twice
// that upstream.
TEST_P(DistillKdTopkTest, HandNumbers) {
  const Variable student(make({0, 0, 0, 0}, {1, 4}), true);
  SparseTeacher top = top_of(Tensor::from<double>({std::log(4.0), 0, std::log(2.0), 0}, {1, 4})
                                 .to(full_precision(dtype()))
                                 .to(device()),
                             1, 1);
  const Variable loss = kd_topk(student, top, Tensor(), options(1, 1, 0));
  expect_close(loss.value(), {0.5 * std::log(2.0) + 0.5 * std::log(2.0 / 3)}, 4 * tolerance());
  scale(loss, 2).backward();
  expect_close(student.grad(), {-0.5, 1.0 / 6, 1.0 / 6, 1.0 / 6}, 4 * tolerance());
}

// With every class stored it is the loss against the whole teacher. 8 times the tolerance: two
// kernels that round a dozen steps each; a teacher of the student's dtype is stored exactly.
TEST_P(DistillKdTopkTest, AllClassesAreTheWholeTeacher) {
  const std::int64_t N = 7, V = 10;
  const Tensor zt = make(random_values(N * V, 3, 2), {N, V}), labels = labels_of(N, V, device());
  const Variable a(make(random_values(N * V, 3), {N, V}), true), b(a.value(), true);
  const KdLossOptions o = options(4, 0.9, 0.1);
  const Variable sparse = kd_topk(a, top_of(zt, V, 4), labels, o),
                 whole = kd_loss(b, zt, labels, o);
  scale(sparse, 3).backward();
  scale(whole, 3).backward();
  expect_close(sparse.value(), to_doubles(whole.value()), 8 * tolerance());
  expect_close(a.grad(), to_doubles(b.grad()), 8 * tolerance());
}

// Classes that are put together can only hide differences (the log-sum inequality).
TEST(DistillKdTopk, FewerClassesCostLess) {
  const Tensor zt = Tensor::from(random_values(50, 3, 2), {5, 10});
  const Variable student(Tensor::from(random_values(50, 3), {5, 10}));
  double last = 0;
  for (const std::int64_t K : {1, 2, 5, 9, 10}) {
    const double loss =
        kd_topk(student, top_of(zt, K, 2), Tensor(), options(2, 1, 0)).value().item();
    EXPECT_GE(loss, last) << K;
    last = loss;
  }
  EXPECT_NEAR(last, kd_loss(student, zt, Tensor(), options(2, 1, 0)).value().item(), 1e-12);
}

TEST_P(DistillKdTopkTest, WithoutGradientsTheValueIsTheSame) {
  const Variable student(make(random_values(30, 5), {3, 10}), true);
  const SparseTeacher top = top_of(make(random_values(30, 5, 2), {3, 10}), 4, 3);
  const Variable recorded = kd_topk(student, top, Tensor(), options(3, 1, 0));
  const NoGrad no_grad;
  const Variable bare = kd_topk(student, top, Tensor(), options(3, 1, 0));
  EXPECT_FALSE(bare.requires_grad());
  EXPECT_TRUE(same_bytes(bare.value(), recorded.value()));
}

TEST(DistillKdTopk, Gradients) {  // 1e-6: h^2 f'''/6
  const Tensor zt = Tensor::from(random_values(50, 3, 2), {5, 10});
  const Tensor labels = labels_of(5, 10, Device::cpu());
  for (const double tau : {1.0, 4.0})
    for (const std::int64_t K : {1, 4, 10}) {
      const SparseTeacher top = top_of(zt, K, tau);
      const GradCheckResult result = grad_check(
          [&](std::span<const Variable> v) {
            return kd_topk(v[0], top, labels, options(tau, 0.7, 0.3));
          },
          {Tensor::from(random_values(50, 3), {5, 10})});
      EXPECT_LT(result.error, 1e-6) << K << " " << result.where;
    }
}

TEST(DistillKdTopk, Rejections) {
  const Variable student(Tensor::zeros({3, 10}), true);
  const SparseTeacher top =
      top_of(Tensor::from(random_values(30, 1), {3, 10}).to(DType::f32), 4, 1);
  expect_error([&] { kd_topk(Variable(Tensor::zeros({3})), top, Tensor(), options(1, 1, 0)); },
               "kd_topk: student has shape (3); expected (N,V)");
  expect_error(
      [&] {
        kd_topk(Variable(Tensor::zeros({2, 10})), top, Tensor(), options(1, 1, 0));
      },
      "kd_topk: indices is i32(3,4)");
  KdLossOptions other = options(1, 1, 0);
  other.jsd_weight = 1;
  expect_error([&] { kd_topk(student, top, Tensor(), other); }, "there is forward KL only");
}

}  // namespace
}  // namespace limbeck::testing
