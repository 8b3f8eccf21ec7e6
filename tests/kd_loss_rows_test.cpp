// SPDX-License-Identifier: Apache-2.0
// The distillation loss of long rows: every way a GPU walks along them, wherever they begin.
#include <limbeck/kernels/kd_loss.h>

#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

KdLossOptions options(double tau = 3, double mean_over = 0) {
  KdLossOptions o;
  o.tau = tau;
  o.kd_weight = 0.7;
  o.ce_weight = 0.3;
  o.mean_over = mean_over;
  return o;
}

std::vector<std::int32_t> some_labels(std::int64_t N, std::int64_t V) {
  std::vector<std::int32_t> labels;  // the first and the last column among them
  for (std::int64_t n = 0; n < N; ++n)
    labels.push_back(static_cast<std::int32_t>(n % 3 == 0 ? 0 : n % 3 == 1 ? V - 1 : n * 1237 % V));
  return labels;
}

struct Problem {
  Tensor student, teacher, labels;

  Problem rows(std::int64_t first, std::int64_t count) const {
    return {student.rows(first, first + count), teacher.rows(first, first + count),
            labels.rows(first, first + count)};
  }
};

struct Result {
  Tensor loss, grad;
};

class KdLossRowsTest : public DeviceTest {
 protected:
  /// An (N,V) tensor that begins `offset` elements beyond a multiple of 256 bytes.
  Tensor make_at(const std::vector<double>& values, std::int64_t N, std::int64_t V,
                 std::int64_t offset) const {
    std::vector<double> padded(static_cast<std::size_t>(offset));
    padded.insert(padded.end(), values.begin(), values.end());
    const std::int64_t size = N * V + offset;
    return make(padded, {size}).rows(offset, size).reshape({N, V});
  }

  Problem problem(std::int64_t N, std::int64_t V, std::int64_t offset = 0,
                  std::int64_t teacher_offset = 0) const {
    return {make_at(random_values(N * V, 6, 1), N, V, offset),
            make_at(random_values(N * V, 6, 2), N, V, teacher_offset),
            Tensor::from(some_labels(N, V), {N}).to(device())};
  }

  Result run(const Problem& p, const KdLossOptions& o) const {
    Result r{Tensor::full({p.student.dim(0)}, 777, dtype() == DType::f64 ? DType::f64 : DType::f32,
                          device()),
             make_like(p.student.shape())};
    kd_loss_forward_with_grad(r.loss, r.grad, p.student, p.teacher, p.labels, o);
    return r;
  }

  /// Against the CPU twin in f64, on the values the dtype can hold.
  void compare(const Result& r, const Problem& p, const KdLossOptions& o) const {
    const auto f64 = [](const Tensor& t) { return t.to(Device::cpu()).to(DType::f64); };
    Tensor loss = f64(r.loss), grad = f64(r.grad);
    kd_loss_forward_with_grad(loss, grad, f64(p.student), f64(p.teacher),
                              p.labels.to(Device::cpu()), o);
    const std::string what = p.student.shape().str();
    expect_close(r.loss, to_doubles(loss), tolerance(), what + " loss");
    expect_close(r.grad, to_doubles(grad), tolerance(), what + " gradient");
  }
};
LIMBECK_INSTANTIATE_DEVICE_TEST(KdLossRowsTest);

TEST_P(KdLossRowsTest, AnyMix) {
  KdLossOptions o = options();
  o.reverse_kl_weight = 0.4;
  const Problem p = problem(11, 2051, 1, 1), longer = problem(5, 9003);
  compare(run(p, o), p, o);
  o.jsd_weight = 0.5, o.jsd_beta = 0.3, o.tvd_weight = 0.2, o.nckd_weight = 0.6;
  compare(run(longer, o), longer, o);
}

TEST_P(KdLossRowsTest, OfEveryLength) {
  // Blocks of 128 and of 512 threads, clusters of 1, 2, 4 (and so on) to 16.
  for (std::int64_t V : {1025, 4097, 17000, 40000, 262144}) {
    const Problem p = problem(V < 20000 ? 2 : 1, V);
    compare(run(p, options(3)), p, options(3));
    if (V < 20000) compare(run(p, options(4)), p, options(4));
  }
}

TEST_P(KdLossRowsTest, ManyRowsPerCluster) {
  for (std::int64_t V : {1030, 9001}) {
    const Problem p = problem(13, V);
    compare(run(p, options()), p, options());
  }
  const Problem longest = problem(3, 132000);
  compare(run(longest, options()), longest, options());
}

TEST_P(KdLossRowsTest, WhereverTheyBegin) {
  for (std::int64_t V : {1031, 9003})
    for (std::int64_t offset : {1, 3, 7}) {
      const Problem together = problem(3, V, offset, offset);
      compare(run(together, options()), together, options());
      const Problem apart = problem(2, V, offset, 2);
      compare(run(apart, options()), apart, options());
    }
}

TEST_P(KdLossRowsTest, ARowDoesNotDependOnTheOthers) {
  for (std::int64_t V : {1032, 9008}) {  // so that every row begins at a multiple of 16 bytes
    const std::int64_t N = 9;
    const Problem p = problem(N, V);
    const Result all = run(p, options(3, N));
    for (std::int64_t n = 0; n < N; ++n) {
      const Result one = run(p.rows(n, 1), options(3, N));
      EXPECT_TRUE(same_bytes(one.loss, all.loss.rows(n, n + 1))) << n;
      EXPECT_TRUE(same_bytes(one.grad, all.grad.rows(n, n + 1))) << n;
    }
  }
}

TEST_P(KdLossRowsTest, InPlaceOrWithoutGradient) {
  for (std::int64_t V : {1033, 9003}) {
    Problem p = problem(9, V);
    const Result r = run(p, options());
    Tensor loss = Tensor::full(r.loss.shape(), 777, r.loss.dtype(), device()), none;
    kd_loss_forward_with_grad(loss, none, p.student, p.teacher, p.labels, options());
    EXPECT_TRUE(same_bytes(loss, r.loss));
    kd_loss_forward_with_grad(loss, p.student, p.student, p.teacher, p.labels, options());
    EXPECT_TRUE(same_bytes(loss, r.loss));
    EXPECT_TRUE(same_bytes(p.student, r.grad));
  }
}

TEST_P(KdLossRowsTest, IgnoredRowsAreZero) {
  Problem p = problem(9, 1033);
  auto labels = some_labels(9, 1033);
  labels[0] = labels[3] = labels[4] = labels[8] = kIgnoreIndex;
  p.labels = Tensor::from(labels, {9}).to(device());
  const Result r = run(p, options());
  compare(r, p, options());
  for (double x : to_doubles(r.grad.rows(3, 5))) ASSERT_EQ(x, 0);
}

TEST_P(KdLossRowsTest, LabelsAreCounted) {
  // On a GPU few labels are counted by the kernel itself, many by one of their own.
  for (std::int64_t N : {1024, 1025}) {
    Problem p = problem(N, 3);
    auto labels = some_labels(N, 3);
    for (std::size_t i = 0; i < labels.size(); i += 2) labels[i] = kIgnoreIndex;
    p.labels = Tensor::from(labels, {N}).to(device());
    Result r = run(p, options());
    const std::uint64_t before = cuda_launch_count();
    kd_loss_forward_with_grad(r.loss, r.grad, p.student, p.teacher, p.labels, options());
    EXPECT_EQ(cuda_launch_count() - before,
              device().is_cuda() ? static_cast<unsigned>(N - 1023) : 0u);
    compare(r, p, options());
  }
}

}  // namespace
}  // namespace limbeck::testing
