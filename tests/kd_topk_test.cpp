// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/kd_topk.h>

#include <limbeck/tests/kd_topk_reference.h>
#include <limbeck/tests/same_bits.h>

namespace limbeck::testing {
namespace {

using Result = KdTopkResult;

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
    // The loss is f32 even of 16-bit logits. At tau 20 it is 400 times a difference of some 1e-5;
    // with logits as f16 rounds them that came out 2.2e-6 off.
    const double bound = dtype() == DType::f16 ? 4e-6 : std::min(tolerance(), 2e-6);
    expect_close(actual.loss, expected.loss, bound, what + " loss");
    expect_close(actual.grad, expected.grad, tolerance(), what + " gradient",
                 rounding_step(dtype()));
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
        for (double ce : {0.0, 0.5})
          if (scale > tau / 100)  // below, models are as close as CloseModels' are
            compare(V == 10 ? 17 : 3, V, 4, scale, options(tau, 1 - ce, ce));
}

TEST_P(KdTopkTest, CloseModels) {
  // Differences of log-weights are some 0.01, where f32 ends at 2e-7 of the rest's 5.
  for (std::int64_t V : {10, 300})
    for (double tau : {1.0, 4.0, 20.0}) {
      const auto zs = random_values(5 * V, 5, 1), noise = random_values(5 * V, 0.3, 2);
      std::vector<double> zt;
      for (std::size_t i = 0; i < zs.size(); ++i) zt.push_back(zs[i] + noise[i]);
      compare(make(zs, {5, V}), stored(make(zt, {5, V}), 4, tau), options(tau, 1, 0));
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
        const Tensor student = logits(5, V, scale, 1), teacher = logits(5, V, scale, 2);
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
      for (std::int64_t V : {1, 10, 200, 1500}) {
        const Tensor z = logits(2, V, scale, 3);
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

TEST_P(KdTopkTest, IgnoredRowsAreZeroAndDoNotCount) {
  for (std::int64_t V : {10, 200}) {
    auto zs = random_values(5 * V, 5, 1);
    zs[3 * V + 1] = kNan;  // not even looked at
    const Tensor student = make(zs, {5, V});
    const SparseTeacher teacher = stored(logits(5, V, 5, 2), 4, 4);
    std::vector<std::int32_t> labels = {1, 2, 3, kIgnoreIndex, 0};
    for (double ce : {0.0, 0.5}) {
      const Result r = run(student, teacher, labels, options(4, 0.5, ce));
      const SparseTeacher head{teacher.indices.rows(0, 3), teacher.logits.rows(0, 3),
                               teacher.rest_lse.rows(0, 3)};
      const Result first = run(student.rows(0, 3), head, {1, 2, 3}, options(4, 0.5, ce, 4));
      EXPECT_EQ(r.loss[3], 0);
      for (std::int64_t v = 0; v < V; ++v) EXPECT_EQ(r.grad[3 * V + v], 0);
      EXPECT_TRUE(std::equal(first.loss.begin(), first.loss.end(), r.loss.begin()));
      EXPECT_TRUE(std::equal(first.grad.begin(), first.grad.end(), r.grad.begin()));
    }
  }
}

TEST_P(KdTopkTest, BadNumbersSpoilTheirRowOnly) {
  for (std::int64_t V : {10, 200})
    for (std::int64_t bad_class : {0, 9})  // stored, and not
      for (double bad : {kNan, kInf}) {
        auto zs = random_values(5 * V, 5, 1);
        SparseTeacher teacher = stored(logits(5, V, 5, 2), 4, 4);
        std::vector<std::int32_t> index;
        for (int n = 0; n < 5; ++n) index.insert(index.end(), {3, 0, 7, 5});
        teacher.indices = Tensor::from(index, {5, 4}, device());
        const auto o = options(4, 0.5, 0.5);
        const Result clean = run(make(zs, {5, V}), teacher, some_labels(5, V), o);
        zs[2 * V + bad_class] = bad;
        const Result r = run(make(zs, {5, V}), teacher, some_labels(5, V), o);
        for (std::int64_t n = 0; n < 5; ++n) {
          ASSERT_TRUE(n == 2 ? std::isnan(r.loss[n]) : r.loss[n] == clean.loss[n]) << n;
          for (std::int64_t v = 0; v < V; ++v) {
            const double g = r.grad[n * V + v];
            ASSERT_TRUE(n == 2 ? std::isnan(g) : g == clean.grad[n * V + v]) << n << "," << v;
          }
        }
      }
}

TEST_P(KdTopkTest, MaskedClasses) {
  for (std::int64_t V : {10, 200}) {
    auto zs = random_values(2 * V, 5, 1);
    zs[9] = -kInf;  // one of the rest
    for (std::int64_t v = 0; v < V; ++v)
      if (v != 3 && v != 0) zs[V + v] = -kInf;  // all of it
    SparseTeacher teacher = stored(logits(2, V, 5, 2), 2, 2);
    teacher.indices = Tensor::from(std::vector<std::int32_t>{3, 0, 3, 0}, {2, 2}, device());
    const Result r = run(make(zs, {2, V}), teacher, {}, options(2, 1, 0));
    EXPECT_TRUE(std::isfinite(r.loss[0]));
    EXPECT_EQ(r.grad[9], 0);
    EXPECT_EQ(r.loss[1], kInf);  // the teacher has other classes, the student has not
    for (std::int64_t v = 0; v < V; ++v)
      if (v != 3 && v != 0) {
        EXPECT_EQ(r.grad[V + v], 0) << v;
      }
  }
}

TEST_P(KdTopkTest, GradientMayOverwriteTheStudentOrBeLeftOut) {
  for (std::int64_t V : {10, 300, 1100}) {
    Tensor student = logits(3, V, 5, 1), loss = row_loss_for(student), none;
    const SparseTeacher teacher = stored(logits(3, V, 5, 2), 4, 4);
    const Tensor labels = Tensor::from(some_labels(3, V), {3}, device());
    const auto o = options(4, 0.5, 0.5);
    const Result r = run(student, teacher, some_labels(3, V), o);
    kd_topk_forward_with_grad(loss, none, student, teacher, labels, o);
    EXPECT_EQ(to_doubles(loss), r.loss);
    kd_topk_forward_with_grad(loss, student, student, teacher, labels, o);
    EXPECT_EQ(to_doubles(loss), r.loss);
    EXPECT_EQ(to_doubles(student), r.grad);
  }
}

TEST_P(KdTopkTest, NoRows) {
  expect_no_launch();
  const Tensor student = make({}, {0, 10});
  EXPECT_TRUE(run(student, stored(student, 3, 4), {}, options(4, 1, 0)).loss.empty());
}

TEST(KdTopk, GradientIsTheDerivativeOfTheLoss) {
  // f64, central difference h = 1e-4: error h^2 and 1e-16/h, both below 1e-6 of max|g|.
  const std::int64_t N = 3, V = 7;
  const double h = 1e-4;
  const auto o = options(3, 0.7, 0.3);
  auto zs = random_values(N * V, 3, 1);
  const SparseTeacher teacher = stored(Tensor::from(random_values(N * V, 3, 2), {N, V}), 3, 3);
  const Tensor labels = Tensor::from(some_labels(N, V), {N});
  Tensor loss = Tensor::empty({N}, DType::f64), grad = Tensor::empty({N, V}, DType::f64), none;
  const auto mean = [&](const std::vector<double>& values) {
    kd_topk_forward_with_grad(loss, none, Tensor::from(values, {N, V}), teacher, labels, o);
    double sum = 0;
    for (double x : to_doubles(loss)) sum += x;
    return sum / N;
  };
  kd_topk_forward_with_grad(loss, grad, Tensor::from(zs, {N, V}), teacher, labels, o);
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

TEST(KdTopk, SameBitsForThreadsAndInstructionSets) {
  for (std::int64_t V : {10, 3000})
    expect_same_bits([&] {
      const std::int64_t N = V == 10 ? 7000 : 50;
      const Tensor zs = Tensor::from(random_values(N * V, 5, 1), {N, V}).to(DType::f32);
      const Tensor zt = Tensor::from(random_values(N * V, 5, 2), {N, V}).to(DType::f32);
      Tensor loss = Tensor::empty({N}), grad = Tensor::empty({N, V});
      kd_topk_forward_with_grad(loss, grad, zs, stored(zt, 5, 3),
                                Tensor::from(some_labels(N, V), {N}), options(3, 0.9, 0.1));
      return std::vector{loss, grad};
    });
}

struct Arguments {
  Tensor loss = Tensor::zeros({2}), grad = Tensor::zeros({2, 5}), student = Tensor::zeros({2, 5}),
         labels = Tensor::zeros({2}, DType::i32);
  SparseTeacher teacher{Tensor::from(std::vector<std::int32_t>{0, 1, 4, 2}, {2, 2}),
                        Tensor::zeros({2, 2}), Tensor::zeros({2})};
  KdLossOptions o = options(4, 0.5, 0.5);
};

template <class Change>
void expect_rejected(const std::string& part, Change change) {
  Arguments a;
  change(a);
  expect_error(
      [&] { kd_topk_forward_with_grad(a.loss, a.grad, a.student, a.teacher, a.labels, a.o); },
      part);
}

TEST_P(KdTopkTest, AClassThatIsNotThereSpoilsItsRowOnAGpu) {
  if (!device().is_cuda()) return;  // the CPU refuses it
  const DType loss = row_loss_for(logits(1, 1, 1, 1)).dtype();
  const SparseTeacher teacher{Tensor::from(std::vector<std::int32_t>{3, 10}, {2, 1}, device()),
                              Tensor::full({2, 1}, 1, loss, device()),
                              Tensor::full({2}, 1, loss, device())};
  const Result r = run(logits(2, 10, 1, 1), teacher, {0, 0}, options(2, 0.5, 0.5));
  EXPECT_FALSE(std::isnan(r.loss[0]));
  EXPECT_TRUE(std::isnan(r.loss[1]));
  for (std::size_t v = 0; v < 10; ++v) {
    EXPECT_FALSE(std::isnan(r.grad[v]));
    EXPECT_TRUE(std::isnan(r.grad[10 + v]));
  }
}

TEST(KdTopk, Rejections) {
  using A = Arguments;
  const auto index = [](std::vector<std::int32_t> v) { return Tensor::from(v, {2, 2}); };
  expect_rejected("kd_topk: tau was not set", [](A& a) { a.o.tau = kNan; });
  expect_rejected("kd_topk: tau is 0; expected 1e-6 to 1e6", [](A& a) { a.o.tau = 0; });
  expect_rejected("kd_topk: kd_weight was not set", [](A& a) { a.o.kd_weight = kNan; });
  expect_rejected("kd_topk: ce_weight is -1; expected >= 0", [](A& a) { a.o.ce_weight = -1; });
  expect_rejected("kd_topk: mean_over is -1; expected >= 0", [](A& a) { a.o.mean_over = -1; });
  expect_rejected("kd_topk: jsd_weight is 1; expected 0", [](A& a) { a.o.jsd_weight = 1; });
  expect_rejected("kd_topk: student has shape (10)", [](A& a) { a.student = Tensor::zeros({10}); });
  expect_rejected("kd_topk: indices has shape (4); expected (N,K)",
                  [](A& a) { a.teacher.indices = Tensor::zeros({4}, DType::i32); });
  expect_rejected("kd_topk: K is 6, student has shape (2,5)", [](A& a) {
    a.teacher.indices = Tensor::zeros({2, 6}, DType::i32);
  });
  expect_rejected("kd_topk: indices is f32(2,2) on cpu; expected i32(2,2) on cpu", [](A& a) {
    a.teacher.indices = Tensor::zeros({2, 2});
  });
  expect_rejected("kd_topk: logits is f32(2,3) on cpu; expected f32(2,2) on cpu", [](A& a) {
    a.teacher.logits = Tensor::zeros({2, 3});
  });
  expect_rejected("kd_topk: rest_lse is undefined; expected f32(2)",
                  [](A& a) { a.teacher.rest_lse = Tensor(); });
  expect_rejected("kd_topk: row_loss is f32(3)", [](A& a) { a.loss = Tensor::zeros({3}); });
  expect_rejected("kd_topk: dstudent is f32(2,4)", [](A& a) { a.grad = Tensor::zeros({2, 4}); });
  expect_rejected("kd_topk: labels is undefined", [](A& a) { a.labels = Tensor(); });
  expect_rejected("kd_topk: index 1 of row 1 is 5; expected 0 to 4", [&](A& a) {
    a.teacher.indices = index({0, 1, 2, 5});
  });
  expect_rejected("kd_topk: index 0 of row 0 is -1; expected 0 to 4", [&](A& a) {
    a.teacher.indices = index({-1, 1, 2, 3});
  });
  expect_rejected("kd_topk: row 1 has index 3 twice; expected distinct ones", [&](A& a) {
    a.teacher.indices = index({0, 1, 3, 3});
  });
}

}  // namespace
}  // namespace limbeck::testing
