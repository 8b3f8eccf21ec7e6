// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/kd_loss.h>

#include <cmath>
#include <limits>

#include <limbeck/tests/kd_loss_reference.h>
#include <limbeck/tests/same_bits.h>

namespace limbeck::testing {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

struct Result {
  std::vector<double> loss, grad;
};

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

Tensor row_loss_for(const Tensor& student) {
  const DType dtype = student.dtype() == DType::f64 ? DType::f64 : DType::f32;
  return Tensor::full({student.dim(0)}, 777, dtype, student.device());
}

class KdLossTest : public DeviceTest {
 protected:
  Result run(const Tensor& student, const Tensor& teacher, const std::vector<std::int32_t>& labels,
             const KdLossOptions& o) const {
    Tensor loss = row_loss_for(student), grad = make_like(student.shape());
    const Tensor label = labels.empty() ? Tensor() : Tensor::from(labels, loss.shape(), device());
    kd_loss_forward_with_grad(loss, grad, student, teacher, label, o);
    return {to_doubles(loss), to_doubles(grad)};
  }

  // Compares with the definition, on the values the dtype can hold.
  void compare(const Tensor& student, const Tensor& teacher, const KdLossOptions& o) const {
    const std::int64_t N = student.dim(0), V = student.dim(1);
    const auto labels = some_labels(N, V);
    const auto zs = to_doubles(student), zt = to_doubles(teacher);
    Result expected;
    for (std::int64_t n = 0; n < N; ++n) {
      const auto row = kd_reference::row(&zs[n * V], &zt[n * V], V, labels[n], o);
      expected.loss.push_back(static_cast<double>(row.loss));
      for (const long double g : row.grad)
        expected.grad.push_back(static_cast<double>(g / static_cast<long double>(N)));
    }
    const Result actual = run(student, teacher, labels, o);
    const std::string what = student.shape().str() + " tau " + std::to_string(o.tau);
    expect_close(actual.loss, expected.loss, tolerance(), what + " loss");
    expect_close(actual.grad, expected.grad, tolerance(), what + " gradient",
                 rounding_step(dtype()));
  }

  Tensor logits(std::int64_t N, std::int64_t V, double scale, std::uint64_t seed) const {
    return make(random_values(N * V, scale, seed), {N, V});
  }
};
LIMBECK_INSTANTIATE_DEVICE_TEST(KdLossTest);

TEST_P(KdLossTest, HandNumbers) {
  // tau 2, zt = (2 ln 3, 0): pt = (3/4, 1/4), ps = q = (1/2, 1/2).
  // KL = 3/4 ln(3/2) + 1/4 ln(1/2) = 0.1308120; loss = 0.5*4*KL + 0.25*ln 2 = 0.4349107.
  // gradient = 0.5*2*(ps - pt) + 0.25*(q - (1,0)) = (-0.25-0.125, 0.25+0.125).
  const Result r =
      run(make({0, 0}, {1, 2}), make({2.19722457733622, 0}, {1, 2}), {0}, options(2, 0.5, 0.25));
  const double kl = 0.75 * std::log(1.5) + 0.25 * std::log(0.5);
  expect_close(r.loss, {2 * kl + 0.25 * std::log(2.0)}, tolerance());
  expect_close(r.grad, {-0.375, 0.375}, tolerance());
}

TEST_P(KdLossTest, MatchesDefinitionAtEveryWidth) {
  for (std::int64_t V : {1, 2, 10, 31, 32, 33, 64, 65, 100, 128, 129, 144, 256, 257, 512, 1000})
    for (std::int64_t N : {1, 3, 16, 17, 33})
      compare(logits(N, V, 5, 1), logits(N, V, 5, 2), options(4, 0.9, 0.1));
  compare(logits(3, 33000, 5, 1), logits(3, 33000, 5, 2), options(2, 0.5, 0.5));
  // A flat student under a peaked teacher: the sums are taken again, by a whole block.
  for (std::int64_t V : {1000, 33001})
    compare(logits(3, V, 0.1, 1), logits(3, V, 30, 2), options(1, 0.5, 0.5));
}

TEST_P(KdLossTest, MatchesDefinitionAtEveryTemperatureAndSize) {
  const std::int64_t N = device().is_cuda() ? 8 : 40;  // an emulated GPU takes its time
  for (std::int64_t V : {10, 100})
    for (double tau : {0.5, 1.0, 3.0, 20.0, 100.0, 1000.0})
      for (double scale : {0.1, 3.0, 30.0, 1e4})
        for (double ce : {0.0, 0.5}) {
          compare(logits(N, V, scale, 1), logits(N, V, scale, 2), options(tau, 1 - ce, ce));
          compare(logits(N, V, 0.1, 1), logits(N, V, scale, 2), options(tau, 1 - ce, ce));
          compare(logits(N, V, scale, 1), logits(N, V, 0.1, 2), options(tau, 1 - ce, ce));
        }
}

TEST_P(KdLossTest, CloseModelsAtHighTemperature) {
  // The plain sum of p (log p - log q) has no correct digit left here.
  for (double tau : {4.0, 100.0, 1000.0})
    for (std::int64_t V : {10, 100}) {
      const auto zs = random_values(20 * V, 5, 1), noise = random_values(20 * V, 0.3, 2);
      std::vector<double> zt;
      for (std::size_t i = 0; i < zs.size(); ++i) zt.push_back(zs[i] + noise[i]);
      compare(make(zs, {20, V}), make(zt, {20, V}), options(tau, 1, 0));
    }
}

TEST_P(KdLossTest, CloseModelsWithLogitsFarApart) {
  // zt - zs is 100 and a little: rounded to the ulp of 100, the little would lose its digits.
  for (std::int64_t V : {10, 1000}) {
    const auto zs = random_values(5 * V, 1, 1), little = random_values(5 * V, 1e-3, 2);
    std::vector<double> zt;
    for (std::size_t i = 0; i < zs.size(); ++i) zt.push_back(zs[i] + little[i] + 100);
    compare(make(zs, {5, V}), make(zt, {5, V}), options(4, 1, 0));
  }
}

TEST_P(KdLossTest, AwkwardRows) {
  struct Row {
    std::vector<double> zs, zt;
    double tau;
  };
  const Row rows[] = {
      {{0, 0.5, 0}, {1, 0.5, -3e38}, 0.5},  // a masked class: d is infinite
      // A shift of all logits rounds what differs, and the class it matters for is improbable for
      // one of the two.
      {{0, -10.3}, {250, 250}, 1},
      {{0, -41.3}, {1000, 1000}, 4},
      {{0, -7.639}, {9670.0166, 9668.0117}, 0.7},
      {{0, -8.75511932}, {24.3104134, 23.316824}, 0.7},
      // zt - zs differs by less than the ulp of the shift.
      {{2e-5, 0}, {1000, 1000}, 1},
      {{-0.0309633128, -0.055736009}, {-150.941849, -150.966629}, 1},
  };
  if (dtype_size(dtype()) < 4) GTEST_SKIP() << "these rows need the digits of f32";
  for (const Row& row : rows) {
    const Shape shape{1, static_cast<std::int64_t>(row.zs.size())};
    compare(make(row.zs, shape), make(row.zt, shape), options(row.tau, 1, 0));
  }
}

TEST_P(KdLossTest, ALossThatIsLostIsNotCalledZero) {
  // The gap of the second class is beyond f32; the loss may be huge, infinite or NaN.
  const Result r =
      run(make({0, -3e38, 0}, {1, 3}), make({0, 3e38, 1}, {1, 3}), {}, options(1, 1, 0));
  EXPECT_FALSE(r.loss[0] < 1e29) << r.loss[0];
}

TEST_P(KdLossTest, EqualModelsGiveExactlyZero) {
  for (double scale : {1.0, 1e4})
    for (double tau : {0.5, 1.0, 7.0, 1000.0})
      for (std::int64_t V : {1, 10, 100}) {
        const Tensor z = logits(20, V, scale, 3);
        const Result r = run(z, z, {}, options(tau, 1, 0));
        for (double x : r.loss) ASSERT_EQ(x, 0) << "tau " << tau;
        for (double x : r.grad) ASSERT_EQ(x, 0) << "tau " << tau;
      }
}

TEST_P(KdLossTest, IsNeverNegative) {
  for (double tau : {0.5, 4.0, 1000.0})
    for (double scale : {1e-3, 1.0, 100.0})
      for (std::int64_t V : {10, 100})
        for (double x :
             run(logits(64, V, scale, 1), logits(64, V, scale, 2), {}, options(tau, 1, 0)).loss)
          ASSERT_GE(x, 0);
}

TEST_P(KdLossTest, TeacherShiftChangesNothing) {
  // Multiples of 1/4 are exact in every dtype.
  std::vector<double> zs, zt, shifted;
  for (double x : random_values(20 * 10, 12, 1)) zs.push_back(std::round(x) / 4);
  for (double x : random_values(20 * 10, 12, 2)) zt.push_back(std::round(x) / 4);
  for (double x : zt) shifted.push_back(x + 16);
  const Tensor student = make(zs, {20, 10});
  const auto o = options(4, 1, 0);
  const Result r = run(student, make(zt, {20, 10}), {}, o);
  const Result s = run(student, make(shifted, {20, 10}), {}, o);
  expect_close(s.loss, r.loss, tolerance());
  expect_close(s.grad, r.grad, tolerance());
}

TEST_P(KdLossTest, GradientRowsSumToZero) {
  for (std::int64_t V : {10, 100}) {
    const Result r =
        run(logits(20, V, 5, 1), logits(20, V, 5, 2), some_labels(20, V), options(4, 0.9, 0.1));
    double largest = 0;
    for (double g : r.grad) largest = std::max(largest, std::abs(g));
    for (std::int64_t n = 0; n < 20; ++n) {
      double sum = 0;
      for (std::int64_t v = 0; v < V; ++v) sum += r.grad[n * V + v];
      EXPECT_NEAR(sum, 0, V * tolerance() * largest);
    }
  }
}

TEST_P(KdLossTest, IgnoredRowsAreZeroAndDoNotCount) {
  for (std::int64_t V : {10, 100}) {
    auto zs = random_values(20 * V, 5, 1);
    const auto zt = random_values(20 * V, 5, 2);
    auto labels = some_labels(20, V);
    labels[4] = labels[19] = kIgnoreIndex;
    zs[4 * V + 1] = kNan;  // not even looked at
    for (double ce : {0.0, 0.5}) {
      const Tensor student = make(zs, {20, V}), teacher = make(zt, {20, V});
      const Result r = run(student, teacher, labels, options(4, 0.5, ce));
      const Result first = run(student.rows(0, 4), teacher.rows(0, 4),
                               {labels.begin(), labels.begin() + 4}, options(4, 0.5, ce, 18));
      for (std::int64_t n : {4, 19}) {
        EXPECT_EQ(r.loss[n], 0);
        for (std::int64_t v = 0; v < V; ++v) EXPECT_EQ(r.grad[n * V + v], 0);
      }
      EXPECT_TRUE(std::equal(first.loss.begin(), first.loss.end(), r.loss.begin()));
      EXPECT_TRUE(std::equal(first.grad.begin(), first.grad.end(), r.grad.begin()));
    }
  }
}

TEST_P(KdLossTest, NonFiniteInputSpoilsItsRowOnly) {
  for (std::int64_t V : {10, 100, 300})
    for (double bad : {kNan, kInf})
      for (bool in_teacher : {false, true}) {
        std::vector<double> z[2] = {random_values(20 * V, 5, 1), random_values(20 * V, 5, 2)};
        const auto o = options(4, 0.5, 0.5);
        const auto labels = some_labels(20, V);
        const Result clean = run(make(z[0], {20, V}), make(z[1], {20, V}), labels, o);
        z[in_teacher][5 * V + 3] = bad;
        const Result r = run(make(z[0], {20, V}), make(z[1], {20, V}), labels, o);
        for (std::int64_t n = 0; n < 20; ++n) {
          ASSERT_TRUE(n == 5 ? std::isnan(r.loss[n]) : r.loss[n] == clean.loss[n]) << n;
          for (std::int64_t v = 0; v < V; ++v) {
            const double g = r.grad[n * V + v];
            ASSERT_TRUE(n == 5 ? std::isnan(g) : g == clean.grad[n * V + v]) << n << "," << v;
          }
        }
      }
}

TEST_P(KdLossTest, GradientMayOverwriteTheStudentOrBeLeftOut) {
  for (std::int64_t V : {10, 100, 300}) {
    Tensor student = logits(20, V, 5, 1), loss = row_loss_for(student), none;
    const Tensor teacher = logits(20, V, 5, 2);
    const auto o = options(4, 1, 0);
    const Result r = run(student, teacher, {}, o);
    kd_loss_forward_with_grad(loss, none, student, teacher, {}, o);
    EXPECT_EQ(to_doubles(loss), r.loss);
    kd_loss_forward_with_grad(loss, student, student, teacher, {}, o);
    EXPECT_EQ(to_doubles(loss), r.loss);
    EXPECT_EQ(to_doubles(student), r.grad);
  }
}

TEST_P(KdLossTest, NoRows) {
  expect_no_launch();
  EXPECT_TRUE(run(make({}, {0, 10}), make({}, {0, 10}), {}, options(4, 1, 0)).loss.empty());
}

TEST(KdLoss, GradientIsTheDerivativeOfTheLoss) {
  // f64, central difference h = 1e-4: error h^2 and 1e-16/h, both below 1e-6 of max|g|.
  const std::int64_t N = 3, V = 7;
  const double h = 1e-4;
  const auto o = options(3, 0.7, 0.3);
  auto zs = random_values(N * V, 3, 1);
  const Tensor teacher = Tensor::from(random_values(N * V, 3, 2), {N, V});
  const Tensor labels = Tensor::from(some_labels(N, V), {N});
  Tensor loss = Tensor::empty({N}, DType::f64), grad = Tensor::empty({N, V}, DType::f64), none;
  const auto mean = [&](const std::vector<double>& values) {
    kd_loss_forward_with_grad(loss, none, Tensor::from(values, {N, V}), teacher, labels, o);
    double sum = 0;
    for (double x : to_doubles(loss)) sum += x;
    return sum / N;
  };
  kd_loss_forward_with_grad(loss, grad, Tensor::from(zs, {N, V}), teacher, labels, o);
  std::vector<double> numeric;
  for (double& z : zs) {
    const double before = z;
    z = before + h;
    const double up = mean(zs);
    z = before - h;
    numeric.push_back((up - mean(zs)) / (2 * h));
    z = before;
  }
  expect_close(grad, numeric, 1e-6);
}

TEST(KdLoss, SameBitsForThreadsAndInstructionSets) {
  for (double scale : {3.0, 100.0})
    for (std::int64_t V : {10, 100, 3000})
      expect_same_bits([&] {
        const std::int64_t N = V == 10 ? 7000 : 700;
        const Tensor zs = Tensor::from(random_values(N * V, scale, 1), {N, V}).to(DType::f32);
        const Tensor zt = Tensor::from(random_values(N * V, scale, 2), {N, V}).to(DType::f32);
        Tensor loss = Tensor::empty({N}), grad = Tensor::empty({N, V});
        kd_loss_forward_with_grad(loss, grad, zs, zt, Tensor::from(some_labels(N, V), {N}),
                                  options(4, 0.9, 0.1));
        return std::vector{loss, grad};
      });
}

TEST(KdLoss, ARowDoesNotDependOnItsNeighbours) {
  // Rows as they mostly are and rows that need more care, in turns.
  for (std::int64_t V : {10, 100, 300}) {
    auto mixed = [V](std::uint64_t seed) {
      std::vector<double> z = random_values(40 * V, 1, seed);
      for (std::size_t i = 0; i < z.size(); ++i)
        z[i] *= i / static_cast<std::size_t>(V) % 2 ? 60 : 3;
      return Tensor::from(z, {40, V}).to(DType::f32);
    };
    const Tensor zs = mixed(1), zt = mixed(2), labels = Tensor::from(some_labels(40, V), {40});
    const auto o = options(1, 0.5, 0.5, 40);
    Tensor loss = Tensor::empty({40}), grad = Tensor::empty({40, V});
    kd_loss_forward_with_grad(loss, grad, zs, zt, labels, o);
    for (std::int64_t n = 0; n < 40; ++n) {
      Tensor one = Tensor::empty({1}), one_grad = Tensor::empty({1, V});
      kd_loss_forward_with_grad(one, one_grad, zs.rows(n, n + 1), zt.rows(n, n + 1),
                                labels.rows(n, n + 1), o);
      ASSERT_TRUE(same_bytes(one, loss.rows(n, n + 1)) && same_bytes(one_grad, grad.rows(n, n + 1)))
          << n;
    }
  }
}

TEST(KdLoss, Rejections) {
  Tensor loss = Tensor::zeros({2}), grad = Tensor::zeros({2, 3}), z = Tensor::zeros({2, 3});
  const Tensor labels = Tensor::zeros({2}, DType::i32);
  const auto call = [&](const Tensor& student, const Tensor& teacher, const Tensor& label,
                        const KdLossOptions& o) {
    return [&, student, teacher, label, o] {
      kd_loss_forward_with_grad(loss, grad, student, teacher, label, o);
    };
  };
  const auto good = options(4, 0.5, 0.5);
  const double nan = kNan;
  expect_error(call(z, z, labels, options(nan, 1, 1)), "kd_loss: tau was not set");
  expect_error(call(z, z, labels, options(4, nan, 1)), "kd_loss: kd_weight was not set");
  expect_error(call(z, z, labels, options(4, 1, nan)), "kd_loss: ce_weight was not set");
  expect_error(call(z, z, labels, options(0, 1, 1)), "kd_loss: tau is 0; expected 1e-6");
  expect_error(call(z, z, labels, options(4, -1, 1)), "kd_loss: kd_weight is -1; expected >= 0");
  expect_error(call(z, z, labels, options(4, 1, -2)), "kd_loss: ce_weight is -2; expected >= 0");
  expect_error(call(z, z, labels, options(4, 1, 1, -3)), "kd_loss: mean_over is -3");
  expect_error(call(Tensor::zeros({6}), z, labels, good), "kd_loss: student has shape (6)");
  expect_error(call(Tensor::zeros({2, 0}), z, labels, good), "kd_loss: student has shape (2,0)");
  expect_error(call(Tensor::zeros({2, 3}, DType::i32), z, labels, good), "kd_loss: student is i32");
  expect_error(call(z, Tensor::zeros({2, 4}), labels, good),
               "kd_loss: teacher has shape (2,4), student (2,3); expected equal shapes (N,V)");
  expect_error(call(z, Tensor::zeros({2, 3}, DType::f64), labels, good),
               "kd_loss: teacher is f64, student f32; expected equal dtypes");
  expect_error(call(z, z, Tensor(), good), "kd_loss: labels is undefined");
  expect_error(call(z, z, Tensor::zeros({3}, DType::i32), good), "kd_loss: labels is i32(3)");
  expect_error(call(z, z, Tensor::zeros({2}), good), "kd_loss: labels is f32(2); expected i32(2)");
  expect_error(call(z, z, Tensor::full({2}, 3, DType::i32), good),
               "kd_loss: label 0 is 3; expected 0 to 2 or -100");
  loss = Tensor::zeros({3});
  expect_error(call(z, z, labels, good), "kd_loss: row_loss is f32(3)");
  loss = Tensor::zeros({2});
  grad = Tensor::zeros({2, 3}, DType::bf16);
  expect_error(call(z, z, labels, good), "kd_loss: dstudent is bf16(2,3)");
}

}  // namespace
}  // namespace limbeck::testing
