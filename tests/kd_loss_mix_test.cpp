// SPDX-License-Identifier: Apache-2.0
// The distillation loss beyond KL and cross-entropy: every divergence, their mixes, weights and
// statistics per row, masked classes.
#include <limbeck/kernels/kd_loss.h>

#include <cmath>
#include <limits>
#include <numeric>

#include <limbeck/tests/kd_loss_reference.h>
#include <limbeck/tests/same_bits.h>

namespace limbeck::testing {
namespace {

using kd_reference::log_softmax, kd_reference::Row;

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
KdLossOptions options(double tau, double kd_weight = 0, double ce_weight = 0) {
  KdLossOptions o;
  o.tau = tau;
  o.kd_weight = kd_weight;
  o.ce_weight = ce_weight;
  return o;
}

// One divergence at a time, then all of them.
std::vector<KdLossOptions> every_mix(double tau) {
  std::vector<KdLossOptions> mixes(8, options(tau));
  mixes[0].reverse_kl_weight = 1;
  mixes[1].jsd_weight = 1, mixes[1].jsd_beta = 0.5;
  mixes[2].jsd_weight = 1, mixes[2].jsd_beta = 0.9;
  mixes[3].tvd_weight = 1;
  mixes[4].tckd_weight = 1;
  mixes[5].nckd_weight = 1;
  mixes[6].tckd_weight = 1, mixes[6].nckd_weight = 8, mixes[6].ce_weight = 1;
  KdLossOptions& all = mixes[7] = options(tau, 0.3, 0.5);
  all.reverse_kl_weight = 0.2, all.jsd_weight = 0.7, all.jsd_beta = 0.3, all.tvd_weight = 0.1;
  all.tckd_weight = 0.4, all.nckd_weight = 0.6;
  return mixes;
}

std::string name_of(const KdLossOptions& o) {
  return detail::concat("tau ", o.tau, " kl ", o.kd_weight, " ce ", o.ce_weight, " reverse ",
                        o.reverse_kl_weight, " jsd ", o.jsd_weight, " beta ", o.jsd_beta, " tvd ",
                        o.tvd_weight, " tckd ", o.tckd_weight, " nckd ", o.nckd_weight);
}

std::vector<std::int32_t> some_labels(std::int64_t N, std::int64_t V) {
  std::vector<std::int32_t> labels;
  for (std::int64_t n = 0; n < N; ++n) labels.push_back(static_cast<std::int32_t>(n * 7 % V));
  return labels;
}

struct Result {
  std::vector<double> loss, grad;
};

class KdLossMixTest : public DeviceTest {
 protected:
  Tensor row_tensor(std::int64_t N, double value = 777) const {
    return Tensor::full({N}, value, dtype() == DType::f64 ? DType::f64 : DType::f32, device());
  }
  Result run(const Tensor& student, const Tensor& teacher, const std::vector<std::int32_t>& labels,
             const KdLossOptions& o, const KdLossRows& rows = {}) const {
    Tensor loss = row_tensor(student.dim(0)), grad = make_like(student.shape());
    const Tensor label = labels.empty() ? Tensor() : Tensor::from(labels, loss.shape(), device());
    kd_loss_forward_with_grad(loss, grad, student, teacher, label, o, rows);
    return {to_doubles(loss), to_doubles(grad)};
  }
  // Compares with the definition, on the values the dtype can hold.
  void compare(const Tensor& student, const Tensor& teacher, const KdLossOptions& o,
               double slack = 1) const {
    const std::int64_t N = student.dim(0), V = student.dim(1);
    const auto labels = some_labels(N, V);
    const auto zs = to_doubles(student), zt = to_doubles(teacher);
    Result expected;
    for (std::int64_t n = 0; n < N; ++n) {
      const kd_reference::Expected row = kd_reference::row(&zs[n * V], &zt[n * V], V, labels[n], o);
      expected.loss.push_back(static_cast<double>(row.loss));
      for (const long double g : row.grad)
        expected.grad.push_back(static_cast<double>(g / static_cast<long double>(N)));
    }
    Result actual = run(student, teacher, labels, o);
    // Of models that are sure of different classes, JSD and TVD are flat: there the gradient is
    // what remains of terms ps h, and a tenth of their size is its scale.
    expected.grad.push_back(0.1 * o.tau / static_cast<double>(N));
    actual.grad.push_back(expected.grad.back());
    const std::string what = student.shape().str() + " " + name_of(o);
    const double loss_tolerance = dtype() == DType::f64 ? tolerance() : 2e-6;
    expect_close(actual.loss, expected.loss, slack * loss_tolerance, what + " loss");
    expect_close(actual.grad, expected.grad, slack * tolerance(), what + " gradient");
  }
  Tensor logits(std::int64_t N, std::int64_t V, double scale, std::uint64_t seed) const {
    return make(random_values(N * V, scale, seed), {N, V});
  }
};
LIMBECK_INSTANTIATE_DEVICE_TEST(KdLossMixTest);

// tau 1, ps = (1/2, 1/2), pt = (3/4, 1/4), label 0.
TEST_P(KdLossMixTest, HandNumbers) {
  if (dtype_size(dtype()) < 4) GTEST_SKIP() << "log 3 needs more digits";
  const double log3 = std::log(3.0);
  const auto check = [&](KdLossOptions o, double loss, double grad) {
    const Result r = run(make({0, 0}, {1, 2}), make({log3, 0}, {1, 2}), {0}, o);
    expect_close(r.loss, {loss}, tolerance(), name_of(o));
    expect_close(r.grad, {grad, -grad}, tolerance(), name_of(o));
  };
  const auto mixes = every_mix(1);
  // 1/2 (ln 2/3 + ln 2); ps_0 (-ln(3/2) - mean), mean = 1/2 (-ln 3/2 + ln 2).
  check(mixes[0], 0.5 * std::log(4.0 / 3), -0.25 * log3);
  // m = (5/8, 3/8): 1/2 (3/4 ln 6/5 + 1/4 ln 2/3) + 1/2 (1/2 ln 4/5 + 1/2 ln 4/3).
  check(mixes[1], 0.375 * std::log(1.2) + 0.125 * std::log(2.0 / 3) + 0.25 * std::log(16.0 / 15),
        0.125 * (std::log(0.8) - std::log(4.0 / 3)));
  check(mixes[3], 0.25, -0.25);
  // Two classes: the target's part is all of KL, the rest says nothing.
  check(mixes[4], 0.75 * std::log(1.5) + 0.25 * std::log(0.5), -0.25);
  check(mixes[5], 0, 0);
}

TEST_P(KdLossMixTest, MatchesDefinitionAtEveryWidth) {
  for (const std::int64_t V : {1, 2, 10, 33, 100, 129, 300, 1000})
    for (const KdLossOptions& o : every_mix(4))
      compare(logits(V < 300 ? 17 : 3, V, 5, 1), logits(V < 300 ? 17 : 3, V, 5, 2), o);
  compare(logits(2, 5000, 5, 1), logits(2, 5000, 5, 2), every_mix(2).back());
}

TEST_P(KdLossMixTest, MatchesDefinitionAtEveryTemperatureAndSize) {
  for (const double tau : {0.5, 1.0, 20.0, 1000.0})
    for (const double scale : {0.1, 3.0, 100.0, 1e4})
      for (const KdLossOptions& o : every_mix(tau))
        compare(logits(20, 10, scale, 1), logits(20, 10, scale, 2), o);
}

TEST_P(KdLossMixTest, CloseModels) {
  for (const double tau : {1.0, 100.0})
    for (const KdLossOptions& o : every_mix(tau)) {
      const auto zs = random_values(200, 5, 1), noise = random_values(200, 0.1, 2);
      std::vector<double> zt;
      for (std::size_t i = 0; i < zs.size(); ++i) zt.push_back(zs[i] + noise[i]);
      compare(make(zs, {20, 10}), make(zt, {20, 10}), o);
    }
}

TEST_P(KdLossMixTest, EqualModelsGiveExactlyZeroAndNothingIsNegative) {
  for (const double tau : {0.5, 7.0, 1000.0})
    for (KdLossOptions o : every_mix(tau)) {
      o.ce_weight = 0;
      const Tensor z = logits(20, 10, 30, 3);
      const auto labels = some_labels(20, 10);
      const Result equal = run(z, z, labels, o);
      for (const double x : equal.loss) ASSERT_EQ(x, 0) << name_of(o);
      for (const double x : equal.grad) ASSERT_EQ(x, 0) << name_of(o);
      for (const double x : run(z, logits(20, 10, 30, 4), labels, o).loss) ASSERT_GE(x, 0);
    }
}

// KL = TCKD + (1 - pt_y) NCKD (Zhao et al. 2022, eq. 7), here with one pt_y for all rows.
TEST_P(KdLossMixTest, DecoupledPartsAddUpToKl) {
  const std::vector<double> zt = {1, 0, 2, -1};
  const double pt0 = std::exp(0.5) / (std::exp(0.5) + 1 + std::exp(1.0) + std::exp(-0.5));
  const Tensor student = make({0.5, 1, -1, 0.25}, {1, 4}), teacher = make(zt, {1, 4});
  KdLossOptions parts = options(2);
  parts.tckd_weight = 1;
  parts.nckd_weight = 1 - pt0;
  const Result whole = run(student, teacher, {0}, options(2, 1)),
               sum = run(student, teacher, {0}, parts);
  expect_close(sum.loss, whole.loss, 2 * tolerance());
  expect_close(sum.grad, whole.grad, 2 * tolerance());
}

TEST_P(KdLossMixTest, JsdOfSwappedModelsAndBetaIsTheSame) {
  KdLossOptions o = options(2), swapped = options(2);
  o.jsd_weight = swapped.jsd_weight = 1;
  o.jsd_beta = 0.2, swapped.jsd_beta = 0.8;
  const Tensor a = logits(20, 10, 5, 1), b = logits(20, 10, 5, 2);
  expect_close(run(a, b, {}, o).loss, run(b, a, {}, swapped).loss, 2e-6);
}

TEST_P(KdLossMixTest, RowWeightsMultiplyAndZeroLeavesOut) {
  for (const std::int64_t V : {10, 300}) {
    auto zs = random_values(6 * V, 5, 1);
    zs[4 * V] = kNan;  // not even looked at
    const Tensor student = make(zs, {6, V}), teacher = logits(6, V, 5, 2);
    const auto labels = some_labels(6, V);
    const std::vector<double> weights = {1, 2, 0.5, 4, 0, 1};
    KdLossRows rows;
    rows.weight = Tensor::from(weights, {6}).to(row_tensor(1).dtype()).to(device());
    for (const KdLossOptions& o : {options(4, 0.5, 0.5), every_mix(4).back()}) {
      const Result plain = run(student, teacher, labels, o);
      const Result weighted = run(student, teacher, labels, o, rows);
      for (std::int64_t n = 0; n < 6; ++n) {
        EXPECT_EQ(weighted.loss[n], n == 4 ? 0 : weights[n] * plain.loss[n]);
        // Powers of two: exact, but where f16 rounds to its smallest numbers.
        const double error = (1 + weights[n]) * rounding_step(dtype());
        for (std::int64_t v = 0; v < V; ++v)
          ASSERT_NEAR(weighted.grad[n * V + v], n == 4 ? 0 : weights[n] * plain.grad[n * V + v],
                      error);
      }
    }
  }
}

TEST_P(KdLossMixTest, StatisticsOfRows) {
  for (const std::int64_t V : {1, 10, 300}) {
    const std::int64_t N = 5;
    auto zs = random_values(N * V, 5, 1), zt = random_values(N * V, 5, 2);
    for (std::int64_t v = 0; v < V; ++v) zt[v] = zs[v];  // one row agrees
    const Tensor student = make(zs, {N, V}), teacher = make(zt, {N, V});
    zs = to_doubles(student), zt = to_doubles(teacher);
    KdLossRows rows;
    for (Tensor* t : {&rows.student_lse, &rows.teacher_lse, &rows.student_entropy,
                      &rows.teacher_entropy, &rows.agreement})
      *t = row_tensor(N);
    const Result with = run(student, teacher, {}, options(3, 1), rows);
    const Result without = run(student, teacher, {}, options(3, 1));
    expect_close(with.loss, without.loss, 2e-6);
    expect_close(with.grad, without.grad, tolerance());
    std::vector<double> lse[2], entropy[2], agreement;
    for (std::int64_t n = 0; n < N; ++n) {
      const double* z[2] = {&zs[n * V], &zt[n * V]};
      for (int model = 0; model < 2; ++model) {
        const Row log_p = log_softmax(z[model], V, 3);
        long double h = 0;
        for (const long double l : log_p) h -= std::exp(l) * l;
        entropy[model].push_back(static_cast<double>(h));
        lse[model].push_back(static_cast<double>(z[model][0] / 3 - log_p[0]));
      }
      agreement.push_back(std::max_element(z[0], z[0] + V) - z[0] ==
                          std::max_element(z[1], z[1] + V) - z[1]);
    }
    const double bound = dtype() == DType::f64 ? tolerance() : 2e-6;
    expect_close(rows.student_lse, lse[0], bound);
    expect_close(rows.teacher_lse, lse[1], bound);
    expect_close(rows.student_entropy, entropy[0], bound);
    expect_close(rows.teacher_entropy, entropy[1], bound);
    EXPECT_EQ(to_doubles(rows.agreement), agreement);
  }
}

// A class that both models mask is as good as absent.
TEST_P(KdLossMixTest, MaskedClassesAreAbsent) {
  for (const std::int64_t V : {10, 300}) {
    const auto zs = random_values(4 * V, 5, 1), zt = random_values(4 * V, 5, 2);
    std::vector<double> masked_s, masked_t;
    for (std::int64_t i = 0; i < 4 * V; ++i) {
      masked_s.push_back(zs[i]), masked_t.push_back(zt[i]);
      masked_s.push_back(-kInf), masked_t.push_back(-kInf);
    }
    const auto labels = some_labels(4, V);
    std::vector<std::int32_t> masked_labels;
    for (const std::int32_t label : labels) masked_labels.push_back(2 * label);
    for (KdLossOptions o : every_mix(2)) {
      const Result r = run(make(zs, {4, V}), make(zt, {4, V}), labels, o);
      const Result m =
          run(make(masked_s, {4, 2 * V}), make(masked_t, {4, 2 * V}), masked_labels, o);
      std::vector<double> kept;
      for (std::int64_t i = 0; i < 4 * V; ++i) {
        kept.push_back(m.grad[2 * i]);
        ASSERT_EQ(m.grad[2 * i + 1], 0);
      }
      expect_close(m.loss, r.loss, 2e-6, name_of(o));
      expect_close(kept, r.grad, tolerance(), name_of(o));
    }
  }
}

// One model gives a class what the other masks: KL is infinite one way and finite the other.
TEST_P(KdLossMixTest, AClassMaskedByOneModel) {
  const Tensor open = make({0, 1, 2, 0.5}, {1, 4}), masked = make({1, 0.25, -kInf, 0}, {1, 4});
  KdLossOptions reverse = options(2), forward = options(2, 1), jsd = options(2);
  reverse.reverse_kl_weight = jsd.jsd_weight = 1;
  jsd.jsd_beta = 0.5;
  EXPECT_EQ(run(masked, open, {}, forward).loss[0], kInf);
  EXPECT_EQ(run(open, masked, {}, reverse).loss[0], kInf);
  compare(open, masked, forward);
  compare(masked, open, reverse);
  compare(masked, open, jsd);
  compare(open, masked, jsd);
}

TEST_P(KdLossMixTest, ARowOfNothingButMaskedClassesIsNan) {
  for (const std::int64_t V : {3, 300})
    for (const KdLossOptions& o : {options(2, 1), every_mix(2).back()}) {
      std::vector<double> zs = random_values(3 * V, 1, 1);
      std::fill(zs.begin() + V, zs.begin() + 2 * V, -kInf);
      const Result r = run(make(zs, {3, V}), logits(3, V, 1, 2), some_labels(3, V), o);
      for (std::int64_t n = 0; n < 3; ++n) EXPECT_EQ(std::isnan(r.loss[n]), n == 1);
      for (std::int64_t i = 0; i < 3 * V; ++i) ASSERT_EQ(std::isnan(r.grad[i]), i / V == 1);
    }
}

TEST(KdLossMix, GradientIsTheDerivativeOfTheLoss) {
  // f64, central difference h = 1e-4: error h^2 and 1e-16/h, both below 1e-6 of max|g|.
  const std::int64_t N = 3, V = 5;
  const double h = 1e-4;
  const Tensor teacher = Tensor::from(random_values(N * V, 3, 2), {N, V});
  const Tensor labels = Tensor::from(some_labels(N, V), {N});
  for (const KdLossOptions& o : every_mix(3)) {
    auto zs = random_values(N * V, 3, 1);
    Tensor loss = Tensor::empty({N}, DType::f64), grad = Tensor::empty({N, V}, DType::f64), none;
    const auto mean = [&] {
      kd_loss_forward_with_grad(loss, none, Tensor::from(zs, {N, V}), teacher, labels, o);
      const auto losses = to_doubles(loss);
      return std::accumulate(losses.begin(), losses.end(), 0.0) / N;
    };
    kd_loss_forward_with_grad(loss, grad, Tensor::from(zs, {N, V}), teacher, labels, o);
    std::vector<double> numeric;
    for (double& z : zs) {
      const double before = z;
      z = before + h;
      const double up = mean();
      z = before - h;
      numeric.push_back((up - mean()) / (2 * h));
      z = before;
    }
    expect_close(grad, numeric, 1e-6, name_of(o));
  }
}

TEST(KdLossMix, SameBitsForThreadsAndInstructionSets) {
  for (const std::int64_t V : {10, 300})
    expect_same_bits([&] {
      const std::int64_t N = 200;
      const Tensor zs = Tensor::from(random_values(N * V, 5, 1), {N, V}).to(DType::f32);
      const Tensor zt = Tensor::from(random_values(N * V, 5, 2), {N, V}).to(DType::f32);
      Tensor loss = Tensor::empty({N}), grad = Tensor::empty({N, V});
      KdLossRows rows;
      rows.teacher_entropy = Tensor::empty({N});
      kd_loss_forward_with_grad(loss, grad, zs, zt, Tensor::from(some_labels(N, V), {N}),
                                every_mix(3).back(), rows);
      return std::vector{loss, grad, rows.teacher_entropy};
    });
}

TEST(KdLossMix, Rejections) {
  Tensor loss = Tensor::zeros({2}), grad = Tensor::zeros({2, 3});
  const Tensor z = Tensor::zeros({2, 3});
  const auto call = [&](const KdLossOptions& o, const KdLossRows& rows = {}) {
    return [&, o, rows] { kd_loss_forward_with_grad(loss, grad, z, z, Tensor(), o, rows); };
  };
  KdLossOptions o = options(1);
  o.reverse_kl_weight = -1;
  expect_error(call(o), "kd_loss: reverse_kl_weight is -1; expected >= 0");
  o = options(1);
  o.jsd_weight = 1;
  expect_error(call(o), "kd_loss: jsd_beta is nan; expected between 0 and 1");
  o.jsd_beta = 1;
  expect_error(call(o), "kd_loss: jsd_beta is 1; expected between 0 and 1");
  o = options(1);
  o.nckd_weight = 1;
  expect_error(call(o), "kd_loss: labels is undefined");
  expect_error(call(options(1e7)), "kd_loss: tau is 1e+07; expected 1e-6 to 1e6");
  KdLossRows rows;
  rows.weight = Tensor::zeros({3});
  expect_error(call(options(1), rows), "kd_loss: weight is f32(3) on cpu; expected f32(2) on cpu");
  rows.weight = Tensor();
  rows.agreement = Tensor::zeros({2}, DType::i32);
  expect_error(call(options(1), rows), "kd_loss: agreement is i32(2) on cpu; expected f32(2)");
}

}  // namespace
}  // namespace limbeck::testing
