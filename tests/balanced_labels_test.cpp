// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/balanced_labels.h>

#include <limits>
#include <numeric>

#include <limbeck/kernels/cross_entropy.h>
#include <limbeck/tests/same_bits.h>

namespace limbeck::testing {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
using Labels = std::vector<std::int32_t>;
using Matrix = std::vector<std::vector<double>>;

Matrix rows_of(const Tensor& t) {
  const std::vector<double> all = to_doubles(t);
  Matrix rows;
  for (std::int64_t n = 0; n < t.dim(0); ++n)
    rows.emplace_back(all.begin() + n * t.dim(1), all.begin() + (n + 1) * t.dim(1));
  return rows;
}

std::vector<double> softmax(const std::vector<double>& z) {
  const double max = *std::max_element(z.begin(), z.end());
  std::vector<double> p;
  for (const double x : z) p.push_back(std::exp(x - max));
  const double sum = std::accumulate(p.begin(), p.end(), 0.0);
  for (double& x : p) x /= sum;
  return p;
}

/// sum_n softmax(z_n + b).
std::vector<double> mass(const Matrix& z, const std::vector<double>& b) {
  std::vector<double> total(b.size(), 0);
  for (std::vector<double> row : z) {
    for (std::size_t v = 0; v < b.size(); ++v) row[v] += b[v];
    const std::vector<double> p = softmax(row);
    for (std::size_t v = 0; v < b.size(); ++v) total[v] += p[v];
  }
  return total;
}

/// The offsets with probabilities in the place of logarithms.
std::vector<double> scaled(const Matrix& student, const Matrix& weak, int iterations) {
  std::vector<double> b(student[0].size(), 0);
  const std::vector<double> wanted = mass(weak, b);
  for (int i = 0; i < iterations; ++i) {
    const std::vector<double> had = mass(student, b);
    for (std::size_t v = 0; v < b.size(); ++v) b[v] += std::log(wanted[v] / had[v]);
  }
  return b;
}

struct Result {
  Labels labels;
  std::vector<double> offsets;
};

class BalancedLabelsTest : public DeviceTest {
 protected:
  Result run(const Tensor& student, const Tensor& weak, const BalancedLabelsOptions& options = {},
             const Tensor& counted = {}) const {
    const DType full = dtype() == DType::f64 ? DType::f64 : DType::f32;
    Tensor labels = Tensor::full({student.dim(0)}, 77, DType::i32, device());
    Tensor offsets = Tensor::full({student.dim(1)}, 77, full, device());
    balanced_labels(labels, offsets, student, weak, options, counted);
    return {labels.to_vector<std::int32_t>(), to_doubles(offsets)};
  }
  /// Of arithmetic in f32, whatever the logits' dtype.
  double full_tolerance() const { return dtype() == DType::f64 ? 1e-12 : 4e-6; }
};
LIMBECK_INSTANTIATE_DEVICE_TEST(BalancedLabelsTest);

// Without iterations: plain argmax, and the first of equals.
TEST_P(BalancedLabelsTest, NoIterationsGiveTheArgmax) {
  const Tensor z = make({1, 3, 2, 5, 5, -1}, {2, 3});
  const Result r = run(z, z, {.iterations = 0});
  EXPECT_EQ(r.labels, (Labels{1, 0}));
  expect_close(r.offsets, {0, 0, 0}, 0);
}

// softmax (1/2, 1/2) in one row; the weak model says (3/4, 1/4). One iteration gives
// b = log(3/4 : 1/2), log(1/4 : 1/2), after which the class probabilities are (3/4, 1/4) exactly.
TEST_P(BalancedLabelsTest, HandNumbers) {
  const double weak[] = {std::log(3.0), 0};
  const Result r = run(make({0, 0}, {1, 2}), make({weak[0], weak[1]}, {1, 2}), {.iterations = 1});
  // The logit log 3 is itself rounded to the dtype.
  expect_close(r.offsets, {std::log(1.5), std::log(0.5)}, std::max(4 * tolerance(), 4e-7));
  EXPECT_EQ(r.labels, (Labels{0}));
}

TEST_P(BalancedLabelsTest, AgreesWithProbabilitiesScaled) {
  for (const std::int64_t V : {1, 2, 31, 33, 300})
    for (const std::int64_t N : {1, 5, 19}) {
      const Tensor student = make(random_values(N * V, 3, 1), {N, V});
      const Tensor weak = make(random_values(N * V, 2, 2), {N, V});
      const Result r = run(student, weak);
      const std::vector<double> b = scaled(rows_of(student), rows_of(weak), 3);
      // An offset is a difference of logarithms of magnitude log N + log V.
      for (std::size_t v = 0; v < b.size(); ++v)
        ASSERT_NEAR(r.offsets[v], b[v], 4 * full_tolerance()) << N << " x " << V;
      Matrix z = rows_of(student);
      for (std::size_t n = 0; n < z.size(); ++n) {
        for (std::size_t v = 0; v < b.size(); ++v) z[n][v] += r.offsets[v];
        const double top = *std::max_element(z[n].begin(), z[n].end());
        // Nearly equal ones may be either.
        ASSERT_NEAR(z[n][static_cast<std::size_t>(r.labels[n])], top, 1e-5) << N << " x " << V;
      }
    }
}

// A student that says class 0 of everything and knows the classes only relative to each other.
TEST_P(BalancedLabelsTest, ClassBalanceIsRestored) {
  const std::int64_t N = 40, V = 4;
  std::vector<double> z = random_values(N * V, 3, 4), w = random_values(N * V, 3, 5);
  for (std::int64_t n = 0; n < N; ++n) z[static_cast<std::size_t>(n * V)] += 6;
  const Tensor student = make(z, {N, V}), weak = make(w, {N, V});
  EXPECT_EQ(run(student, weak, {.iterations = 0}).labels, Labels(N, 0));
  const Result r = run(student, weak, {.iterations = 9});
  const std::vector<double> wanted = mass(rows_of(weak), {0, 0, 0, 0});
  expect_close(mass(rows_of(student), r.offsets), wanted, 1e-2);  // nine iterations come so far
  const Result three = run(student, weak);
  expect_close(mass(rows_of(student), three.offsets), wanted, 0.15);  // and three so far
  for (std::int32_t v = 0; v < V; ++v) {
    const auto count = std::count(three.labels.begin(), three.labels.end(), v);
    EXPECT_NEAR(static_cast<double>(count), wanted[static_cast<std::size_t>(v)], 4) << v;
  }
}

TEST_P(BalancedLabelsTest, RowsInAnotherOrderHaveTheSameLabels) {
  const std::int64_t N = 35, V = 5;
  const std::vector<double> z = random_values(N * V, 3, 6), w = random_values(N * V, 3, 7);
  std::vector<double> z2, w2;
  for (std::int64_t n = N; n-- > 0;)
    for (std::int64_t v = 0; v < V; ++v) {
      z2.push_back(z[static_cast<std::size_t>(n * V + v)]);
      w2.push_back(w[static_cast<std::size_t>(n * V + v)]);
    }
  Labels backwards = run(make(z2, {N, V}), make(w2, {N, V})).labels;
  std::reverse(backwards.begin(), backwards.end());
  EXPECT_EQ(run(make(z, {N, V}), make(w, {N, V})).labels, backwards);
}

// softmax(log 3, 0) = 3/4, softmax(0, log 9) = 9/10; equal to the weak model's, so b = 0.
TEST_P(BalancedLabelsTest, UnsureRowsAreIgnored) {
  const Tensor z = make({std::log(3.0), 0, 0, std::log(9.0)}, {2, 2});
  EXPECT_EQ(run(z, z, {.threshold = 0.7}).labels, (Labels{0, 1}));
  EXPECT_EQ(run(z, z, {.threshold = 0.8}).labels, (Labels{kIgnoreIndex, 1}));
  EXPECT_EQ(run(z, z, {.threshold = 0.95}).labels, (Labels{kIgnoreIndex, kIgnoreIndex}));
}

TEST_P(BalancedLabelsTest, RowsThatDoNotCountChangeNothing) {
  const std::vector<double> z = random_values(6 * 3, 3, 8), w = random_values(6 * 3, 3, 9);
  const Tensor counted =
      Tensor::from(Labels{0, 1, kIgnoreIndex, kIgnoreIndex, 2, 0}, {6}, device());
  const Result r = run(make(z, {6, 3}), make(w, {6, 3}), {}, counted);
  std::vector<double> z4, w4;
  for (const std::size_t n : {0, 1, 4, 5})
    for (std::size_t v = 0; v < 3; ++v) {
      z4.push_back(z[n * 3 + v]);
      w4.push_back(w[n * 3 + v]);
    }
  const Result part = run(make(z4, {4, 3}), make(w4, {4, 3}));
  expect_close(r.offsets, part.offsets, full_tolerance());
  EXPECT_EQ(r.labels[2], kIgnoreIndex);
  EXPECT_EQ(r.labels[3], kIgnoreIndex);
  EXPECT_EQ((Labels{r.labels[0], r.labels[1], r.labels[4], r.labels[5]}), part.labels);
}

TEST_P(BalancedLabelsTest, ImpossibleClassesAndLargeLogits) {
  const Result weak =
      run(make({0, 1e4, 0, 1e4, 0, 0}, {2, 3}), make({0, -kInf, 0, 0, -kInf, 0}, {2, 3}));
  EXPECT_EQ(weak.offsets[1], -kInf);  // the weak model's impossible class is nobody's
  EXPECT_NE(weak.labels[0], 1);
  EXPECT_NE(weak.labels[1], 1);
  const Result own = run(make({0, -kInf, 1, -kInf}, {2, 2}), make({0, 0, 0, 0}, {2, 2}));
  EXPECT_EQ(own.offsets[1], 0);
  EXPECT_EQ(own.labels, (Labels{0, 0}));
}

TEST(BalancedLabels, SameBitsForThreadsAndInstructionSets) {
  expect_same_bits([] {
    const Tensor z = Tensor::from(random_values(200 * 150, 3), {200, 150}).to(DType::f32);
    const Tensor w = Tensor::from(random_values(200 * 150, 3, 2), {200, 150}).to(DType::f32);
    Tensor labels = Tensor::empty({200}, DType::i32), offsets = Tensor::empty({150});
    balanced_labels(labels, offsets, z, w, {.threshold = 0.1});
    return std::vector{labels, offsets};
  });
}

TEST(BalancedLabels, Rejections) {
  Tensor labels = Tensor::empty({2}, DType::i32), offsets = Tensor::empty({3});
  const Tensor z = Tensor::zeros({2, 3});
  const auto error = [&](Tensor l, Tensor b, const Tensor& weak, const std::string& what) {
    expect_error([&] { balanced_labels(l, b, z, weak); }, what);
  };
  error(labels, offsets, Tensor::zeros({2, 4}),
        "balanced_labels: weak is f32(2,4) on cpu, student");
  error(offsets, offsets, z, "labels is f32(3); expected i32(2)");
  error(labels, labels, z, "offsets is i32(2); expected f32(3)");
  error(labels, Tensor(), z, "labels, offsets, student or weak is undefined");
  expect_error([&] { balanced_labels(labels, offsets, z, z, {}, offsets); },
               "counted is f32(3); expected i32(2)");
  expect_error([&] { balanced_labels(labels, offsets, z, z, {.iterations = -1}); },
               "iterations is -1; expected >= 0");
  expect_error([&] { balanced_labels(labels, offsets, z, z, {.threshold = 1.5}); },
               "threshold is 1.5; expected 0 to 1");
  Tensor none = Tensor::empty({0}, DType::i32);
  const Tensor empty = Tensor::zeros({0, 3});
  expect_error([&] { balanced_labels(none, offsets, empty, empty); }, "expected (N,V), N >= 1");
}

}  // namespace
}  // namespace limbeck::testing
