// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/kd_topk.h>

#include <limits>

#include <limbeck/kernels/topk.h>
#include <limbeck/tests/same_bits.h>

namespace limbeck::testing {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

struct Result {
  std::vector<double> loss, grad;
};

// One row from the definition, in long double and without the kernel's transformations.
void reference_row(Result& r, const std::vector<double>& zs, const std::vector<std::int32_t>& index,
                   const std::vector<double>& zt, double rest_lse, int label,
                   const KdLossOptions& o) {
  const auto softmax = [&](long double tau) {
    const long double max = *std::max_element(zs.begin(), zs.end());
    std::vector<long double> p;
    long double sum = 0;
    for (double z : zs) sum += std::exp((z - max) / tau);
    for (double z : zs) p.push_back((z - max) / tau - std::log(sum));
    return p;
  };
  const auto log_ps = softmax(o.tau), log_q = softmax(1);
  std::vector<bool> stored(zs.size());
  for (std::int32_t v : index) stored[v] = true;
  // Of the rest, relative to its own largest: it may be far below the others.
  long double max = -kInf, sum = 0, top = rest_lse, all = 0;
  for (std::size_t v = 0; v < zs.size(); ++v)
    if (!stored[v]) max = std::max(max, log_ps[v]);
  for (std::size_t v = 0; v < zs.size(); ++v)
    if (!stored[v]) sum += std::exp(log_ps[v] - max);
  const long double log_ps_rest = sum > 0 ? max + std::log(sum) : -kInf;
  for (double z : zt) top = std::max(top, z / static_cast<long double>(o.tau));
  for (double z : zt) all += std::exp(z / static_cast<long double>(o.tau) - top);
  all += std::exp(rest_lse - top);
  const auto log_pt = [&](long double s) { return s - top - std::log(all); };
  long double kl = 0;
  const auto add = [&](long double log_s, long double log_t) {
    const long double ps = std::exp(log_s), pt = std::exp(log_t), u = log_t - log_s;
    kl += std::abs(u) < 1 ? pt * (std::expm1(-u) + u) : ps - pt + (pt > 0 ? pt * u : 0);
    return std::abs(u) < 1 ? -ps * std::expm1(u) : ps - pt;
  };
  std::vector<long double> gradient(zs.size());
  for (std::size_t k = 0; k < index.size(); ++k)
    gradient[index[k]] = add(log_ps[index[k]], log_pt(zt[k] / static_cast<long double>(o.tau)));
  if (sum > 0) {
    const long double rest = add(log_ps_rest, log_pt(rest_lse));
    for (std::size_t v = 0; v < zs.size(); ++v)
      if (!stored[v]) gradient[v] = rest * std::exp(log_ps[v] - log_ps_rest);
  }
  for (std::size_t v = 0; v < zs.size(); ++v) {
    const long double q = std::exp(log_q[v]) - (static_cast<int>(v) == label);
    r.grad.push_back(static_cast<double>(
        (o.kd_weight * o.tau * gradient[v] + (o.ce_weight > 0 ? o.ce_weight * q : 0)) /
        o.mean_over));
  }
  r.loss.push_back(static_cast<double>(o.kd_weight * o.tau * o.tau * kl -
                                       (o.ce_weight > 0 ? o.ce_weight * log_q[label] : 0.0L)));
}

KdLossOptions options(double tau, double kd_weight, double ce_weight, double mean_over = 0) {
  KdLossOptions o;
  o.tau = tau;
  o.kd_weight = kd_weight;
  o.ce_weight = ce_weight;
  o.mean_over = mean_over;
  return o;
}

std::vector<std::int32_t> some_labels(std::int64_t N, std::int64_t V) {
  std::vector<std::int32_t> labels;
  for (std::int64_t n = 0; n < N; ++n) labels.push_back(static_cast<std::int32_t>(n * 7 % V));
  return labels;
}

SparseTeacher stored(const Tensor& logits, std::int64_t K, double tau) {
  const std::int64_t N = logits.dim(0);
  const DType dtype = logits.dtype() == DType::f64 ? DType::f64 : DType::f32;
  const Device device = logits.device();
  SparseTeacher t{Tensor::empty({N, K}, DType::i32, device), Tensor::empty({N, K}, dtype, device),
                  Tensor::empty({N}, dtype, device)};
  topk(t.logits, t.indices, t.rest_lse, logits, tau);
  return t;
}

Tensor row_loss_for(const Tensor& student) {
  const DType dtype = student.dtype() == DType::f64 ? DType::f64 : DType::f32;
  return Tensor::full({student.dim(0)}, 777, dtype, student.device());
}

class KdTopkTest : public DeviceTest {
 protected:
  Result run(const Tensor& student, const SparseTeacher& teacher,
             const std::vector<std::int32_t>& labels, const KdLossOptions& o) const {
    Tensor loss = row_loss_for(student), grad = make_like(student.shape());
    const Tensor label = labels.empty() ? Tensor() : Tensor::from(labels, loss.shape(), device());
    kd_topk_forward_with_grad(loss, grad, student, teacher, label, o);
    return {to_doubles(loss), to_doubles(grad)};
  }

  // Compares with the definition, on what the tensors hold.
  void compare(const Tensor& student, const SparseTeacher& teacher, KdLossOptions o) const {
    const std::int64_t N = student.dim(0), V = student.dim(1), K = teacher.indices.dim(1);
    const auto labels = some_labels(N, V);
    const auto zs = to_doubles(student), zt = to_doubles(teacher.logits),
               rest = to_doubles(teacher.rest_lse);
    const auto index = teacher.indices.to_vector<std::int32_t>();
    const Result actual = run(student, teacher, labels, o);
    o.mean_over = static_cast<double>(N);
    Result expected;
    for (std::int64_t n = 0; n < N; ++n)
      reference_row(expected, {&zs[n * V], &zs[n * V] + V}, {&index[n * K], &index[n * K] + K},
                    {&zt[n * K], &zt[n * K] + K}, K < V ? rest[n] : -kInf, labels[n], o);
    const std::string what =
        student.shape().str() + " K " + std::to_string(K) + " tau " + std::to_string(o.tau);
    // The loss is f32 even of 16-bit logits.
    expect_close(actual.loss, expected.loss, std::min(tolerance(), 2e-6), what + " loss");
    expect_close(actual.grad, expected.grad, tolerance(), what + " gradient");
  }
  void compare(std::int64_t N, std::int64_t V, std::int64_t K, double scale,
               const KdLossOptions& o) const {
    compare(logits(N, V, scale, 1), stored(logits(N, V, scale, 2), K, o.tau), o);
  }

  Tensor logits(std::int64_t N, std::int64_t V, double scale, std::uint64_t seed) const {
    return make(random_values(N * V, scale, seed), {N, V});
  }
};
LIMBECK_INSTANTIATE_DEVICE_TEST(KdTopkTest);

TEST_P(KdTopkTest, HandNumbers) {
  // tau 2, class 2 stored with zt = 2 ln 3, and rest_lse = 0: pt = (3/4, rest 1/4); zs equal: ps =
  // (1/3, rest 2/3). KL = 3/4 ln(9/4) + 1/4 ln(3/8); loss = 0.5*4*KL + 0.25 ln 3, label 0.
  // kd gradient: ps_v (1 - (1/4)/(2/3)) = 5/24 twice, 1/3 - 3/4 = -10/24; q - onehot = (-2,1,1)/3.
  Tensor zt = Tensor::full({1, 1}, 2 * std::log(3.0), DType::f64);
  const DType dtype = row_loss_for(logits(1, 1, 1, 1)).dtype();
  const SparseTeacher teacher{Tensor::from(std::vector<std::int32_t>{2}, {1, 1}, device()),
                              zt.to(dtype).to(device()), Tensor::zeros({1}, dtype, device())};
  const Result r = run(make({1, 1, 1}, {1, 3}), teacher, {0}, options(2, 0.5, 0.25));
  const double kl = 0.75 * std::log(9.0 / 4) + 0.25 * std::log(3.0 / 8);
  expect_close(r.loss, {2 * kl + 0.25 * std::log(3.0)}, tolerance());
  expect_close(r.grad, {5.0 / 24 - 1.0 / 6, 5.0 / 24 + 1.0 / 12, -10.0 / 24 + 1.0 / 12},
               tolerance());
}

TEST_P(KdTopkTest, MatchesDefinitionAtEveryWidth) {
  for (std::int64_t V : {1, 2, 10, 33, 128, 129, 300, 1000, 1501})
    for (std::int64_t K : {1, 3, 60, 1000})
      if (K <= V) compare(3, V, K, 5, options(4, 0.9, 0.1));
  compare(17, 10, 4, 5, options(3, 0.9, 0.1));
  compare(17, 10, 9, 5, options(1, 0.9, 0.1));
  if (!device().is_cuda()) compare(2, 33001, 64, 5, options(4, 0.9, 0.1));
}

TEST_P(KdTopkTest, MatchesDefinitionAtEveryTemperatureAndSize) {
  for (std::int64_t V : {10, 300})
    for (double tau : {0.5, 1.0, 3.0, 20.0})
      for (double scale : {0.1, 1.0, 10.0, 100.0})
        for (double ce : {0.0, 0.5}) compare(17, V, 4, scale, options(tau, 1 - ce, ce));
}

TEST_P(KdTopkTest, CloseModels) {
  // Differences of log-weights are some 0.01, where f32 ends at 2e-7 of the rest's 5.
  for (std::int64_t V : {10, 300})
    for (double tau : {1.0, 4.0, 20.0}) {
      const auto zs = random_values(17 * V, 5, 1), noise = random_values(17 * V, 0.3, 2);
      std::vector<double> zt;
      for (std::size_t i = 0; i < zs.size(); ++i) zt.push_back(zs[i] + noise[i]);
      compare(make(zs, {17, V}), stored(make(zt, {17, V}), 4, tau), options(tau, 1, 0));
    }
}

TEST_P(KdTopkTest, AnyClassesMayBeStored) {
  // Not the largest, in no order; and a rest that is far below or above all of them.
  const DType dtype = row_loss_for(logits(1, 1, 1, 1)).dtype();
  const auto index = std::vector<std::int32_t>{7, 0, 4, 9, 1, 2};
  for (double rest : {-1000.0, -kInf, 0.5, 300.0})
    for (std::int64_t V : {10, 300}) {
      const SparseTeacher teacher{
          Tensor::from(index, {2, 3}, device()),
          Tensor::from(random_values(6, 3, 5), {2, 3}).to(dtype).to(device()),
          Tensor::full({2}, rest, dtype, device())};
      compare(logits(2, V, 5, 1), teacher, options(2, 0.7, 0.3));
      compare(logits(2, V, 400, 1), teacher, options(2, 0.7, 0.3));
    }
}

TEST_P(KdTopkTest, AllClassesStoredIsTheWholeDivergence) {
  for (std::int64_t V : {10, 150}) {
    const Tensor student = logits(17, V, 5, 1), teacher = logits(17, V, 5, 2);
    Tensor loss = row_loss_for(student), grad = make_like(student.shape());
    const Tensor labels = Tensor::from(some_labels(17, V), {17}, device());
    kd_loss_forward_with_grad(loss, grad, student, teacher, labels, options(4, 0.9, 0.1));
    SparseTeacher all = stored(teacher, V, 4);
    all.rest_lse = Tensor();
    const Result r = run(student, all, some_labels(17, V), options(4, 0.9, 0.1));
    expect_close(r.loss, to_doubles(loss), 2e-6);
    expect_close(r.grad, to_doubles(grad), tolerance());
  }
}

TEST_P(KdTopkTest, IsNeverNegativeAndNeverMoreThanTheWhole) {
  for (double tau : {0.5, 4.0, 1000.0})
    for (double scale : {1e-3, 1.0, 100.0})
      for (std::int64_t V : {10, 200}) {
        const Tensor student = logits(20, V, scale, 1), teacher = logits(20, V, scale, 2);
        Tensor whole = row_loss_for(student), none;
        const auto o = options(tau, 1, 0);
        kd_loss_forward_with_grad(whole, none, student, teacher, {}, o);
        const auto most = to_doubles(whole);
        // rest_lse, of up to 10, ends at 5e-7: that much of tau is the logits' own difference.
        const double slack = 1e-12 * tau * tau + 1e-6 * tau * std::min(scale, 1.0);
        const Result r = run(student, stored(teacher, 4, tau), {}, o);
        for (std::size_t n = 0; n < most.size(); ++n) {
          ASSERT_GE(r.loss[n], 0);
          ASSERT_LE(r.loss[n], most[n] * (1 + 2e-6) + slack) << "tau " << tau << " " << scale;
        }
      }
}

TEST_P(KdTopkTest, EqualModelsGiveExactlyZero) {
  for (double scale : {1.0, 1e4})
    for (double tau : {0.5, 1.0, 7.0, 1000.0})
      for (std::int64_t V : {1, 10, 100, 300, 1500}) {
        const Tensor z = logits(5, V, scale, 3);
        const Result r =
            run(z, stored(z, std::min<std::int64_t>(V, 6), tau), {}, options(tau, 1, 0));
        for (double x : r.loss) ASSERT_EQ(x, 0) << "tau " << tau << " V " << V;
        for (double x : r.grad) ASSERT_EQ(x, 0) << "tau " << tau << " V " << V;
      }
}

TEST_P(KdTopkTest, GradientRowsSumToZero) {
  for (std::int64_t V : {10, 300}) {
    const Result r = run(logits(17, V, 5, 1), stored(logits(17, V, 5, 2), 4, 4), some_labels(17, V),
                         options(4, 0.9, 0.1));
    for (std::int64_t n = 0; n < 17; ++n) {
      double sum = 0, size = 0;
      for (std::int64_t v = 0; v < V; ++v) {
        sum += r.grad[n * V + v];
        size += std::abs(r.grad[n * V + v]);
      }
      EXPECT_NEAR(sum, 0, tolerance() * size);
    }
  }
}

}  // namespace
}  // namespace limbeck::testing
