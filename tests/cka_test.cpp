// SPDX-License-Identifier: Apache-2.0
// Tests of centred kernel alignment: what it equals, and what it does and does not see.
#include <limbeck/distill/cka.h>

#include <limbeck/distill/feature_gram.h>
#include <limbeck/kernels/matmul.h>
#include <limbeck/tests/same_bits.h>

namespace limbeck::testing {
namespace {

constexpr double kTolerance = 1e-12;  // doubles, some thousand operations

Tensor features(std::int64_t n, std::int64_t d, std::uint64_t seed) {
  return Tensor::from(random_values(n * d, 1, seed), {n, d});
}

Tensor product(const Tensor& a, const Tensor& b, Trans trans_a = Trans::no) {
  Tensor c = Tensor::empty({a.dim(trans_a == Trans::no ? 0 : 1), b.dim(1)}, DType::f64);
  matmul(c, a, trans_a, b, Trans::no);
  return c;
}

double norm(const Tensor& x) {
  double square = 0;
  for (const double v : to_doubles(x)) square += v * v;
  return std::sqrt(square);
}

/// Rows of a random matrix, made orthonormal one after another.
Tensor orthogonal(std::int64_t d, std::uint64_t seed) {
  Tensor q = features(d, d, seed);
  double* row = q.data<double>();
  for (std::int64_t i = 0; i < d; ++i) {
    for (std::int64_t j = 0; j <= i; ++j) {
      double dot = 0;
      for (std::int64_t k = 0; k < d; ++k) dot += row[i * d + k] * row[j * d + k];
      for (std::int64_t k = 0; k < d; ++k)
        row[i * d + k] =
            j < i ? row[i * d + k] - dot * row[j * d + k] : row[i * d + k] / std::sqrt(dot);
    }
  }
  return q;
}

Tensor less_its_mean(const Tensor& x) {
  const std::int64_t n = x.dim(0), d = x.dim(1);
  Tensor y = x.clone();
  for (std::int64_t j = 0; j < d; ++j) {
    double mean = 0;
    for (std::int64_t i = 0; i < n; ++i)
      mean += x.data<double>()[i * d + j] / static_cast<double>(n);
    for (std::int64_t i = 0; i < n; ++i) y.data<double>()[i * d + j] -= mean;
  }
  return y;
}

TEST(Cka, HandNumbers) {
  // x = (-1, 0, 1), y = (1, -2, 1): centred, x'y = 0. z = (0, 0, 3) less its mean is (-1, -1, 2);
  // x'z = 3, |x|^2 = 2, |z|^2 = 6: 3^2 / (2 6) = 3/4.
  const Tensor x = Tensor::from<double>({-1, 0, 1}, {3, 1});
  const Tensor y = Tensor::from<double>({1, -2, 1}, {3, 1});
  const Tensor z = Tensor::from<double>({0, 0, 3}, {3, 1});
  EXPECT_NEAR(cka(x, x), 1, kTolerance);
  EXPECT_NEAR(cka(x, y), 0, kTolerance);
  EXPECT_NEAR(cka(x, z), 0.75, kTolerance);
  EXPECT_EQ(cka(x, Tensor::full({3, 5}, 2, DType::f64)), 0);
}

TEST(Cka, RbfHandNumbers) {
  // Distances of (0), (1), (3): 1, 3, 2; sigma = scale * 2.
  const Tensor x = Tensor::from<double>({0, 1, 3}, {3, 1});
  const auto k = [](double square, double sigma) {
    return std::exp(-square / (2 * sigma * sigma));
  };
  for (const double scale : {1.0, 0.5}) {
    const double sigma = 2 * scale, a = k(1, sigma), b = k(9, sigma), c = k(4, sigma);
    expect_close(to_doubles(rbf_gram(x, scale)), {1, a, b, a, 1, c, b, c, 1}, kTolerance);
  }
  // Of four samples there are six distances: 0, 1, 1, 2, 2, 3; of these, (1 + 2) / 2.
  const Tensor y = Tensor::from<double>({0, 1, 1, 3}, {4, 1});
  EXPECT_NEAR(to_doubles(rbf_gram(y))[1], k(1, 1.5), kTolerance);
  EXPECT_EQ(to_doubles(rbf_gram(y))[6], 1);
  // More than half of the distances are 0, and with them sigma.
  const std::vector<double> gram =
      to_doubles(rbf_gram(Tensor::from<double>({2, 2, 2, 2, 5}, {5, 1})));
  EXPECT_EQ(gram[1], 1);
  EXPECT_EQ(gram[4], 0);
  EXPECT_EQ(gram[24], 1);
}

TEST(Cka, EqualsItsFormulaOfFeatures) {
  const Tensor x = features(20, 7, 1), y = features(20, 5, 2);
  const Tensor cx = less_its_mean(x), cy = less_its_mean(y);
  const double cross = norm(product(cy, cx, Trans::yes));
  const double expected =
      cross * cross / (norm(product(cx, cx, Trans::yes)) * norm(product(cy, cy, Trans::yes)));
  EXPECT_NEAR(cka(x, y), expected, kTolerance);
  EXPECT_NEAR(cka(y, x), expected, kTolerance);
}

TEST(Cka, WideFeaturesAreReadInPieces) {
  const Tensor x = features(5, 9001, 1), c = less_its_mean(x);
  Tensor gram = Tensor::empty({5, 5}, DType::f64);
  matmul(gram, c, Trans::no, c, Trans::yes);
  expect_close(to_doubles(linear_gram(x)), to_doubles(gram), kTolerance);
}

class CkaOf : public ::testing::TestWithParam<CkaKind> {};

TEST_P(CkaOf, DoesNotSeeRotationsAndScales) {
  const Tensor x = features(16, 6, 1), y = features(16, 4, 2);
  const double before = cka(x, y, GetParam());
  EXPECT_NEAR(cka(product(x, orthogonal(6, 3)), y, GetParam()), before, 1e-11);
  std::vector<double> moved = to_doubles(x);
  for (std::size_t i = 0; i < moved.size(); ++i)
    moved[i] = 1000 * (moved[i] + static_cast<double>(i % 6));
  EXPECT_NEAR(cka(Tensor::from(moved, {16, 6}), y, GetParam()), before, 1e-11);
  EXPECT_NEAR(cka(x, product(x, orthogonal(6, 4)), GetParam()), 1, 1e-11);
}

TEST_P(CkaOf, SeesOtherLinearMaps) {
  const Tensor x = features(16, 6, 1);
  std::vector<double> stretched = to_doubles(x);
  for (std::size_t i = 0; i < stretched.size(); i += 6) stretched[i] *= 10;
  EXPECT_LT(cka(x, Tensor::from(stretched, {16, 6}), GetParam()), 0.9);
}

std::string kind_name(const ::testing::TestParamInfo<CkaKind>& kind) {
  const char* names[] = {"linear", "rbf", "unbiased"};
  return names[static_cast<int>(kind.param)];
}

INSTANTIATE_TEST_SUITE_P(Kinds, CkaOf,
                         ::testing::Values(CkaKind::linear, CkaKind::rbf, CkaKind::unbiased),
                         kind_name);

// Song et al.'s formula, term by term.
TEST(UnbiasedHsic, EqualsItsFormula) {
  const std::int64_t n = 7;
  const Tensor k = linear_gram(features(n, 3, 1)), l = linear_gram(features(n, 2, 2));
  Tensor a = k.clone(), b = l.clone();
  for (std::int64_t i = 0; i < n; ++i)
    a.data<double>()[i * (n + 1)] = b.data<double>()[i * (n + 1)] = 0;
  const Tensor ab = product(a, b);
  double trace = 0, sum_a = 0, sum_b = 0, sum_ab = 0;
  for (std::int64_t i = 0; i < n; ++i) trace += ab.data<double>()[i * (n + 1)];
  for (const double v : to_doubles(a)) sum_a += v;
  for (const double v : to_doubles(b)) sum_b += v;
  for (const double v : to_doubles(ab)) sum_ab += v;
  const auto m = static_cast<double>(n);
  const double expected =
      (trace + sum_a * sum_b / ((m - 1) * (m - 2)) - 2 * sum_ab / (m - 2)) / (m * (m - 3));
  EXPECT_NEAR(unbiased_hsic(k, l), expected, kTolerance);
}

/// Samples of a Gram matrix, by the bits of `chosen`.
Tensor part_of_gram(const Tensor& gram, unsigned chosen) {
  std::vector<double> values;
  const std::int64_t n = gram.dim(0);
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = 0; j < n; ++j)
      if ((chosen >> i & 1u) && (chosen >> j & 1u))
        values.push_back(gram.data<double>()[i * n + j]);
  const auto m = static_cast<std::int64_t>(std::lround(std::sqrt(values.size())));
  return Tensor::from(values, {m, m});
}

// It is a U-statistic: the mean over all batches of 4 of 7 samples is that of the 7, exactly. This
// is what makes it right for small batches.
TEST(UnbiasedHsic, TheMeanOverBatchesIsThatOfTheWhole) {
  const Tensor k = linear_gram(features(7, 3, 1)), l = rbf_gram(features(7, 2, 2));
  double total = 0;
  int batches = 0;
  for (unsigned chosen = 0; chosen < 128; ++chosen)
    if (__builtin_popcount(chosen) == 4) {
      total += unbiased_hsic(part_of_gram(k, chosen), part_of_gram(l, chosen));
      ++batches;
    }
  EXPECT_EQ(batches, 35);
  EXPECT_NEAR(total / batches, unbiased_hsic(k, l), kTolerance);
}

// 400 batches of 6 samples of features that have nothing to do with each other: the biased CKA of
// such a batch is some 0.5, and so is its mean; the unbiased one ends near 0.
TEST(CkaMatrix, SmallBatchesOfIndependentFeatures) {
  CkaMatrix unbiased(1, 1, CkaKind::unbiased);
  double biased = 0;
  for (std::uint64_t batch = 0; batch < 400; ++batch) {
    const Tensor x = features(6, 5, 2 * batch + 1), y = features(6, 5, 2 * batch + 2);
    biased += cka(x, y) / 400;
    unbiased.add(centred_gram(x, CkaKind::unbiased).reshape({1, 6, 6}),
                 centred_gram(y, CkaKind::unbiased).reshape({1, 6, 6}));
  }
  EXPECT_GT(biased, 0.4);
  EXPECT_LT(std::abs(unbiased.result().item()), 0.05);  // its deviation is some 0.02
}

TEST(CkaMatrix, OneBatchIsCkaOfEveryPair) {
  const std::vector<Tensor> x = {features(9, 2, 1), features(9, 5, 2)};
  const std::vector<Tensor> y = {features(9, 3, 3), x[1], features(9, 1, 4)};
  for (const CkaKind kind : {CkaKind::linear, CkaKind::rbf, CkaKind::unbiased}) {
    Tensor a = Tensor::empty({2, 9, 9}, DType::f64), b = Tensor::empty({3, 9, 9}, DType::f64);
    for (std::int64_t i = 0; i < 2; ++i)
      a.rows(i, i + 1).copy_from(
          centred_gram(x[static_cast<std::size_t>(i)], kind).reshape({1, 9, 9}));
    for (std::int64_t i = 0; i < 3; ++i)
      b.rows(i, i + 1).copy_from(
          centred_gram(y[static_cast<std::size_t>(i)], kind).reshape({1, 9, 9}));
    CkaMatrix matrix(2, 3, kind);
    matrix.add(a, b);
    std::vector<double> expected;
    for (const Tensor& s : x)
      for (const Tensor& t : y) expected.push_back(cka(s, t, kind));
    expect_close(to_doubles(matrix.result()), expected, kTolerance);
    matrix.add(a, b);  // the same batch once more changes nothing
    expect_close(to_doubles(matrix.result()), expected, kTolerance);
  }
}

TEST(Cka, OtherDtypesAndDevicesAreTheSameNumbers) {
  std::vector<double> values = random_values(8 * 3, 9);
  for (double& v : values) v = std::round(v);
  const Tensor x = Tensor::from(values, {8, 3}), y = features(8, 2, 5);
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16})
    EXPECT_EQ(cka(x.to(dtype), y), cka(x, y)) << dtype_name(dtype);
  if (cuda_device_count() > 0) {
    EXPECT_EQ(cka(x.to(DType::f32).to(Device::cuda()), y), cka(x, y));
  }
}

TEST(Cka, SameBitsForThreadsAndInstructionSets) {
  const Tensor x = features(33, 70, 1), y = features(33, 12, 2);
  expect_same_bits([&] {
    return std::vector{linear_gram(x), Tensor::from<double>({cka(x, y)}, {1}),
                       Tensor::from<double>({cka(x, y, CkaKind::unbiased)}, {1})};
  });
}

TEST(Cka, Rejections) {
  const Tensor x = features(5, 2, 1);
  expect_error([&] { cka(x, features(4, 2, 1)); },
               "cka: features of 5 and of 4 samples; expected the same samples");
  expect_error(
      [&] {
        cka(x, Tensor::zeros({5, 2}, DType::i32));
      },
      "linear_gram: features are i32 (5,2); expected floating (n,...) with n >= 2");
  expect_error([&] { cka(features(3, 2, 1), features(3, 2, 1), CkaKind::unbiased); },
               "centre_unbiased: Gram matrix is f64 (3,3) on cpu; expected f64 (n,n) with n >= 4");
  expect_error([&] { rbf_gram(x, 0); }, "rbf_gram: scale is 0; expected above 0");
  expect_error([&] { centre(x); }, "centre: Gram matrix is f64 (5,2)");
  expect_error([&] { unbiased_hsic(linear_gram(x), linear_gram(features(4, 2, 1))); },
               "unbiased_hsic: Gram matrices are (5,5) and (4,4); expected equal shapes");
  expect_error([] { CkaMatrix(0, 2, CkaKind::rbf); }, "CkaMatrix: 0 rows and 2 columns");
  CkaMatrix matrix(1, 2, CkaKind::linear);
  expect_error([&] { matrix.result(); }, "CkaMatrix: no batch was added");
  expect_error(
      [&] {
        matrix.add(Tensor::zeros({1, 3, 3}, DType::f64), Tensor::zeros({2, 4, 4}, DType::f64));
      },
      "CkaMatrix: Gram matrices are (1,3,3) and (2,4,4); expected (1,n,n) and (2,n,n)");
}

}  // namespace
}  // namespace limbeck::testing
