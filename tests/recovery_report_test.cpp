// SPDX-License-Identifier: Apache-2.0
// The audit of what survives in codes.
#include <limbeck/distill/recovery_report.h>

#include <limbeck/distill/compressed_sensing.h>
#include <limbeck/kernels/matmul.h>
#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

/// Features after a ReLU that lets few through: (N,D) with the given share of nonzeros.
Tensor rectified(std::int64_t N, std::int64_t D, double share) {
  std::vector<double> values = random_values(N * D, 1, 4);
  for (double& v : values) v = std::max(0.0, v - (1 - 2 * share)) * 3;
  return Tensor::from(values, {N, D});
}

TEST(LargestElements, HandNumbers) {
  const std::vector<double> x = {1, -3, 0, 3, 0.5};
  using Indices = std::vector<std::int64_t>;
  EXPECT_EQ(largest_elements(x.data(), 5, 1), (Indices{1}));
  EXPECT_EQ(largest_elements(x.data(), 5, 3), (Indices{0, 1, 3}));
  EXPECT_EQ(largest_elements(x.data(), 5, 9), (Indices{0, 1, 3, 4}));
}

// phi is the identity, so omp keeps the largest element: of (3,4) it is 4 and the error 9 of 25, of
// (1,0) nothing is lost. Signal 26, error 9; supports {1}, {0} both found.
TEST(RecoveryReport, HandNumbers) {
  const Tensor phi = Tensor::from<double>({1, 0, 0, 1}, {2, 2});
  const Tensor t = Tensor::from<double>({3, 4, 1, 0}, {2, 2});
  const RecoveryReport r = recovery_report(t, phi, t, {.sparsity = 1});
  EXPECT_EQ(r.samples, 2);
  EXPECT_EQ(r.sparsity, 1);
  EXPECT_DOUBLE_EQ(r.nonzeros, 0.75);
  EXPECT_NEAR(r.snr_db, 10 * std::log10(26.0 / 9), 1e-12);
  EXPECT_NEAR(r.best_snr_db, r.snr_db, 1e-12);
  EXPECT_EQ(r.support_f1, 1);
  EXPECT_TRUE(std::isnan(r.agreement));
  // The wrong matrix finds the other element: (0,4) for (4,0) and (0,1) for (1,0).
  const Tensor swapped = Tensor::from<double>({0, 1, 1, 0}, {2, 2});
  const Tensor u = Tensor::from<double>({4, 0, 1, 0}, {2, 2});
  const RecoveryReport wrong = recovery_report(u, swapped, u, {.sparsity = 1});
  EXPECT_EQ(wrong.support_f1, 0);
  EXPECT_NEAR(wrong.snr_db, 10 * std::log10(17.0 / 34), 1e-12);
  EXPECT_EQ(wrong.best_snr_db, std::numeric_limits<double>::infinity());
}

TEST(RecoveryReport, DefaultSparsity) {
  EXPECT_EQ(default_sparsity(228, 256), 20);  // 228 / (2 ln 256) = 20.6
  EXPECT_EQ(default_sparsity(3, 256), 1);
  EXPECT_EQ(default_sparsity(1, 1), 1);
}

TEST(RecoveryReport, SparseFeaturesSurviveAndDenseOnesDoNot) {
  const std::int64_t N = 30, D = 128;
  for (const double relative_lambda : {0.0, 1e-4}) {
    CompressedSensing cs({D}, {D}, {.K = 96});
    const auto report = [&](double share) {
      const Tensor t = rectified(N, D, share).to(DType::f32);
      return recovery_report(cs.rows(cs.encode(t)), cs.measurement(), t,
                             {.sparsity = 12, .relative_lambda = relative_lambda});
    };
    const RecoveryReport sparse = report(0.03), dense = report(0.5);
    // f32 codes; fista leaves its shrinkage.
    EXPECT_GT(sparse.snr_db, relative_lambda > 0 ? 50 : 100);
    EXPECT_GT(sparse.support_f1, 0.99);
    EXPECT_LT(dense.snr_db, 12);
    EXPECT_LT(dense.support_f1, 0.9);
  }
}

// Standardised codes are of features that are no longer sparse; rows() and measurement() undo it.
TEST(RecoveryReport, StandardisedCodesAreRecoveredToo) {
  const std::int64_t N = 20, D = 128;
  const Tensor t = rectified(N, D, 0.03);
  CompressedSensing cs(
      {D}, {D}, {.K = 96, .mean = Tensor::full({D}, 0.2), .variance = Tensor::full({D}, 0.25)},
      DType::f64);
  const RecoveryReport r =
      recovery_report(cs.rows(cs.encode(t)), cs.measurement(), t, {.sparsity = 12});
  EXPECT_GT(r.snr_db, 100);
  EXPECT_EQ(r.support_f1, 1);
}

TEST(RecoveryReport, AgreementOfTheTeachersHead) {
  const std::int64_t N = 40, D = 128, V = 5;
  const Tensor w = Tensor::from(random_values(V * D, 1, 9), {V, D}).to(DType::f32);
  const FeatureHead head = [&](const Tensor& features) {
    Tensor logits = Tensor::empty({features.dim(0), V});
    matmul(logits, features, Trans::no, w, Trans::yes);
    return logits;
  };
  CompressedSensing wide({D}, {D}, {.K = 96}), narrow({D}, {D}, {.K = 4});
  const Tensor t = rectified(N, D, 0.05).to(DType::f32);
  const auto agreement = [&](const CompressedSensing& cs) {
    return recovery_report(cs.rows(cs.encode(t)), cs.measurement(), t, {}, head).agreement;
  };
  EXPECT_GT(agreement(wide), 0.9);
  EXPECT_LT(agreement(narrow), 0.7);
  EXPECT_GE(agreement(narrow), 0);
}

TEST(RecoveryReport, Rejections) {
  const Tensor phi = Tensor::zeros({2, 3}), t = Tensor::zeros({4, 3});
  expect_error(
      [&] {
        recovery_report(Tensor::zeros({4, 3}), phi, t);
      },
      "recovery_report: codes have shape (4,3), features (4,3); expected (4,2)");
  expect_error(
      [&] {
        recovery_report(Tensor::zeros({4, 2}), phi, Tensor::zeros({4, 2}));
      },
      "recovery_report: features have shape (4,2), phi (2,3); expected floating (N,3)");
  expect_error(
      [&] {
        recovery_report(Tensor::zeros({4, 2}), Tensor::zeros({6}), t);
      },
      "recovery_report: phi has shape (6); expected (K,D)");
  expect_error(
      [&] {
        recovery_report(Tensor::zeros({0, 2}), phi, Tensor::zeros({0, 3}));
      },
      "recovery_report: features have shape (0,3)");
}

}  // namespace
}  // namespace limbeck::testing
