// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/kd_head.h>

#include <limbeck/core/backend.h>
#include <limbeck/core/graph.h>
#include <limbeck/core/pool.h>
#include <limbeck/kernels/matmul.h>
#include <limbeck/tests/device_test.h>
#include <limbeck/tests/same_bits.h>

namespace limbeck {
namespace {

using testing::expect_close;
using testing::expect_error;
using testing::random_values;
using testing::same_bytes;

constexpr std::int64_t N = 23, V = 37, Hs = 12, Ht = 40;
constexpr std::size_t kAll = std::size_t{1} << 40;

KdHeadOptions options(double mean_over = 0, std::size_t logits_bytes = kAll) {
  return {.loss = {.tau = 2, .kd_weight = 0.7, .ce_weight = 0.3, .mean_over = mean_over},
          .logits_bytes = logits_bytes};
}

struct Inputs {
  Tensor student_hidden, student_weight, teacher_hidden, teacher_weight, labels;
};

struct Results {
  Tensor row_loss, dhidden, dweight;
  KdLossRows rows;

  explicit Results(const Inputs& in) {
    const DType sums = in.student_hidden.dtype() == DType::f64 ? DType::f64 : DType::f32;
    const Device device = in.student_hidden.device();
    row_loss = Tensor::full({in.student_hidden.dim(0)}, 777, sums, device);
    dhidden = Tensor::full(in.student_hidden.shape(), 777, in.student_hidden.dtype(), device);
    dweight = Tensor::full(in.student_weight.shape(), 777, sums, device);
  }
  void compute(const Inputs& in, const KdHeadOptions& o) {
    kd_head_forward_with_grad(row_loss, dhidden, dweight, in.student_hidden, in.student_weight,
                              in.teacher_hidden, in.teacher_weight, in.labels, o, rows);
  }
};

Results head(const Inputs& in, const KdHeadOptions& o) {
  Results r(in);
  r.compute(in, o);
  return r;
}

// The same with whole logits, the mean counted by the loss.
Results composed(const Inputs& in, const KdLossOptions& o, const KdLossRows& rows = {}) {
  Results r(in);
  const Shape logits{in.student_hidden.dim(0), in.student_weight.dim(0)};
  const DType dtype = in.student_hidden.dtype();
  const Device device = in.student_hidden.device();
  Tensor zs = Tensor::empty(logits, dtype, device), zt = Tensor::empty(logits, dtype, device);
  matmul(zs, in.student_hidden, Trans::no, in.student_weight, Trans::yes);
  matmul(zt, in.teacher_hidden, Trans::no, in.teacher_weight, Trans::yes);
  Tensor dz = Tensor::empty_like(zs);
  kd_loss_forward_with_grad(r.row_loss, dz, zs, zt, in.labels, o, rows);
  matmul(r.dhidden, dz, Trans::no, in.student_weight, Trans::no);
  matmul(r.dweight, dz, Trans::yes, in.student_hidden, Trans::no);
  return r;
}

class KdHeadTest : public testing::DeviceTest {
 protected:
  Inputs inputs(DType dtype, std::int64_t rows = N) const {
    const auto random = [&](std::int64_t n, std::int64_t m, std::uint64_t seed) {
      return Tensor::from(random_values(n * m, 1, seed), {n, m}).to(dtype).to(device());
    };
    std::vector<std::int32_t> labels;
    for (std::int64_t n = 0; n < rows; ++n)
      labels.push_back(n % 4 == 1 ? kIgnoreIndex : static_cast<std::int32_t>(n * 7 % V));
    return {random(rows, Hs, 1), random(V, Hs, 2), random(rows, Ht, 3), random(V, Ht, 4),
            Tensor::from(labels, {rows}, device())};
  }
  Inputs inputs() const { return inputs(dtype()); }
  /// Bytes for the logits of so many rows.
  static std::size_t budget(std::int64_t rows, DType dtype) {
    return static_cast<std::size_t>(2 * rows * V) * dtype_size(dtype);
  }
  // Four times the tolerance: a mean taken after the products rounds once more, and on a GPU sums
  // over the chunks round in between.
  static void expect_results(const Results& actual, const Results& expected, double bound,
                             const std::string& what) {
    expect_close(actual.row_loss, testing::to_doubles(expected.row_loss), bound, what);
    expect_close(actual.dhidden, testing::to_doubles(expected.dhidden), 4 * bound, what);
    expect_close(actual.dweight, testing::to_doubles(expected.dweight), 4 * bound, what);
  }
};

// hidden (1), weight (log 3, 0) for the teacher and (0, 0) for the student: the logits of the hand
// numbers in distill_kd_loss_test. dz = (-1/4, 1/4), dhidden = dz weight = 0, dweight = dz hidden.
TEST_P(KdHeadTest, HandNumbers) {
  const Inputs in = {make({1}, {1, 1}), make({0, 0}, {2, 1}), make({1}, {1, 1}),
                     make({std::log(3.0), 0}, {2, 1}), Tensor()};
  const Results r = head(in, {.loss = {.tau = 1, .kd_weight = 1, .ce_weight = 0}});
  // bf16 rounds log 3 by up to 2^-9 of it, which moves KL by some 2^-8 of itself.
  const double bound = dtype() == DType::bf16 ? 0x1p-6 : 4 * tolerance();
  expect_close(r.row_loss, {0.75 * std::log(1.5) + 0.25 * std::log(0.5)}, bound);
  expect_close(r.dhidden, {0}, 0);
  expect_close(r.dweight, {-0.25, 0.25}, bound);
}

TEST_P(KdHeadTest, EqualsTheCompositionOfWholeMatrices) {
  const Inputs in = inputs();
  for (const double mean_over : {0.0, 50.0}) {
    const Results expected = composed(in, options(mean_over).loss);
    for (const std::int64_t rows : {std::int64_t{1}, std::int64_t{5}, N, 10 * N})
      expect_results(head(in, options(mean_over, budget(rows, dtype()))), expected, tolerance(),
                     detail::concat("rows ", rows, " mean over ", mean_over));
  }
}

TEST_P(KdHeadTest, WithoutLabelsTheMeanIsOverAllRows) {
  Inputs in = inputs();
  in.labels = Tensor();
  KdHeadOptions o = options(0, budget(7, dtype()));
  o.loss.ce_weight = 0;
  expect_results(head(in, o), composed(in, o.loss), tolerance(), "no labels");
}

TEST_P(KdHeadTest, WeightsAndStatisticsOfRows) {
  const Inputs in = inputs();
  Results whole(in), parts(in);
  std::vector<double> weights;
  for (std::int64_t n = 0; n < N; ++n) weights.push_back(static_cast<double>(n % 3));
  for (Results* r : {&whole, &parts}) {
    KdLossRows& rows = r->rows;
    for (Tensor* t : {&rows.weight, &rows.student_lse, &rows.teacher_lse, &rows.student_entropy,
                      &rows.teacher_entropy, &rows.agreement})
      *t = Tensor::zeros_like(r->row_loss);
    rows.weight.copy_from(Tensor::from(weights, {N}).to(r->row_loss.dtype()));
  }
  KdHeadOptions o = options(0, budget(5, dtype()));
  o.loss.reverse_kl_weight = 0.4;
  const Results expected = composed(in, o.loss, whole.rows);
  parts.compute(in, o);
  expect_results(parts, expected, tolerance(), "weighted");
  for (Tensor KdLossRows::*t :
       {&KdLossRows::student_lse, &KdLossRows::teacher_lse, &KdLossRows::student_entropy,
        &KdLossRows::teacher_entropy, &KdLossRows::agreement})
    expect_close(parts.rows.*t, testing::to_doubles(whole.rows.*t), tolerance());
}

TEST_P(KdHeadTest, ASixteenBitTeacherOfAnF32Student) {
  Inputs in = inputs(DType::f32);
  in.teacher_hidden = in.teacher_hidden.to(DType::f16);
  in.teacher_weight = in.teacher_weight.to(DType::f16);
  const Results actual = head(in, options(0, budget(5, DType::f32)));
  in.teacher_hidden = in.teacher_hidden.to(DType::f32);
  in.teacher_weight = in.teacher_weight.to(DType::f32);
  expect_results(actual, composed(in, options().loss), 2e-6, "f16 teacher");
}

TEST_P(KdHeadTest, IgnoredRowsHaveNoPartInIt) {
  Inputs in = inputs();
  in.labels = Tensor::full({N}, kIgnoreIndex, DType::i32, device());
  const Results r = head(in, options(0, budget(5, dtype())));
  expect_close(r.row_loss, std::vector<double>(N, 0.0), 0);
  expect_close(r.dhidden, std::vector<double>(N * Hs, 0.0), 0);
  expect_close(r.dweight, std::vector<double>(V * Hs, 0.0), 0);
}

TEST_P(KdHeadTest, OnlyWhatIsWantedIsComputed) {
  const Inputs in = inputs();
  const KdHeadOptions o = options(0, budget(5, dtype()));
  const Results all = head(in, o);
  for (const auto& [hidden, weight] : {std::pair(false, false), {true, false}, {false, true}}) {
    Results some(in);
    if (!hidden) some.dhidden = Tensor();
    if (!weight) some.dweight = Tensor();
    some.compute(in, o);
    EXPECT_TRUE(same_bytes(some.row_loss, all.row_loss));
    EXPECT_TRUE(!hidden || same_bytes(some.dhidden, all.dhidden));
    EXPECT_TRUE(!weight || same_bytes(some.dweight, all.dweight));
  }
}

TEST_P(KdHeadTest, NoRows) {
  expect_no_launch();
  const Inputs in = inputs(dtype(), 0);
  const Results r = head(in, options());
  expect_close(r.dweight, std::vector<double>(V * Hs, 0.0), 0);
}

TEST_P(KdHeadTest, NeverAsksTheHost) {
  if (!device().is_cuda()) return;
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16})
    for (const double mean_over : {0.0, 50.0}) {
      const Inputs in = inputs(dtype);
      const KdHeadOptions o = options(mean_over, budget(5, dtype));
      const Results direct = head(in, o);
      Results recorded(in);
      const Graph graph(device(), [&] { recorded.compute(in, o); });
      graph.launch();
      EXPECT_TRUE(same_bytes(recorded.row_loss, direct.row_loss));
      EXPECT_TRUE(same_bytes(recorded.dhidden, direct.dhidden));
      EXPECT_TRUE(same_bytes(recorded.dweight, direct.dweight));
    }
}

// Logits of 64 rows would take 16 times what 4 take; besides those there is what the contract
// names. A GPU's pool rounds, and its cuBLASLt may want more than all logits.
TEST_P(KdHeadTest, HoldsTheLogitsOfOneChunkOnly) {
  const std::int64_t rows = 64, classes = 2000;
  const auto values = [&](std::int64_t n, std::int64_t m) {
    return Tensor::full({n, m}, 0.5, dtype(), device());
  };
  const Inputs in = {values(rows, 3), values(classes, 3), values(rows, 5), values(classes, 5),
                     Tensor::zeros({rows}, DType::i32, device())};
  const std::size_t logits = static_cast<std::size_t>(2 * 4 * classes) * dtype_size(dtype());
  Results r(in);
  r.compute(in, options(0, logits));
  synchronize(device());  // lets go of what the emulated GPU has queued
  pool_reset_peak(device());
  const std::size_t before = pool_stats(device()).in_use;
  r.compute(in, options(0, logits));
  synchronize(device());
  const bool emulated = device().is_cuda() && !backend::reuses_memory();
  const std::size_t workspace = device().is_cuda() ? std::size_t{40} << 20 : 20 * classes * 8;
  const std::size_t scratch = emulated ? 4096 : workspace;
  EXPECT_LE(pool_stats(device()).peak - before, logits + scratch);
  EXPECT_GE(pool_stats(device()).peak - before, logits);
}

TEST_P(KdHeadTest, Rejections) {
  const Inputs good = inputs();
  const auto refused = [&](auto&& spoil, const std::string& part) {
    Inputs in = good;
    Results r(in);
    KdHeadOptions o = options();
    spoil(in, r, o);
    expect_error([&] { r.compute(in, o); }, "kd_" + part);
  };
  using O = KdHeadOptions;
  refused(
      [&](Inputs& in, Results&, O&) {
        in.student_hidden = make_like({N, 5});
      },
      "head: student_hidden has shape (23,5), student_weight (37,12); expected (N,H) and (V,H)");
  refused([&](Inputs& in, Results&, O&) { in.teacher_weight = Tensor(); },
          "head: teacher_weight has shape (); expected a matrix");
  refused(
      [&](Inputs& in, Results&, O&) {
        in.teacher_hidden = make_like({5, Ht});
      },
      "head: teacher_hidden has shape (5,40), student_hidden (23,12); expected equally many");
  refused(
      [&](Inputs& in, Results&, O&) {
        in.teacher_weight = make_like({5, Ht});
      },
      "head: teacher_weight has shape (5,40), student_weight (37,12); expected equally many");
  const DType other = dtype() == DType::f16 ? DType::bf16 : DType::f16;
  refused([&](Inputs& in, Results&, O&) { in.teacher_hidden = in.teacher_hidden.to(other); },
          detail::concat("head: teacher_hidden is ", other, " on "));
  refused([&](Inputs&, Results& r, O&) { r.row_loss = make_like({5}).to(DType::f32); },
          "head: row_loss is f32(5)");
  refused([&](Inputs&, Results& r, O&) { r.dhidden = make_like({V, Hs}); }, "head: dhidden is ");
  refused([&](Inputs&, Results& r, O&) { r.dweight = make_like({N, Hs}); }, "head: dweight is ");
  refused([&](Inputs& in, Results&, O&) { in.labels = make_like({N}); }, "head: labels is ");
  refused([&](Inputs&, Results& r, O&) { r.rows.weight = make_like({N + 1}).to(DType::f32); },
          "head: weight is f32(24)");
  refused([&](Inputs&, Results&, O& o) { o.loss.mean_over = -2; }, "head: mean_over is -2");
  refused([&](Inputs&, Results&, O& o) { o.loss.tau = -1; }, "loss: tau is -1");
  head(good, options());  // what is left is accepted
}

LIMBECK_INSTANTIATE_DEVICE_TEST(KdHeadTest);

TEST(KdHead, ChunkRows) {
  const auto rows = [](std::int64_t n, std::size_t bytes) {
    return kd_head_chunk_rows(n, 1000, DType::bf16, bytes);  // 4000 bytes a row
  };
  EXPECT_EQ(rows(50, 0), 1);
  EXPECT_EQ(rows(50, 11999), 2);
  EXPECT_EQ(rows(50, 200000), 50);
  EXPECT_EQ(rows(5000, 4000 * 127), 127);
  EXPECT_EQ(rows(5000, 4000 * 300), 256);
  EXPECT_EQ(rows(1100, 4000 * 1030), 640);  // two of 550, not 1024 and 76
  EXPECT_EQ(rows(0, 4000), 1);
  EXPECT_EQ(kd_head_chunk_rows(8192, 128256, DType::bf16, KdHeadOptions{}.logits_bytes), 1024);
}

class KdHeadExact : public KdHeadTest {};

TEST_P(KdHeadExact, ChunksLeaveTheBits) {
  const Inputs in = inputs();
  const Results whole = head(in, options(50));
  const Results parts = composed(in, options(50).loss);
  for (const Results& r : {head(in, options(50, budget(1, dtype()))),
                           head(in, options(50, budget(5, dtype()))), parts}) {
    EXPECT_TRUE(same_bytes(r.row_loss, whole.row_loss));
    EXPECT_TRUE(same_bytes(r.dhidden, whole.dhidden));
    EXPECT_TRUE(same_bytes(r.dweight, whole.dweight));
  }
}

TEST_P(KdHeadExact, SameBitsForEveryIsaAndThreadCount) {
  const Inputs in = inputs();
  testing::expect_same_bits([&] {
    const Results r = head(in, options(0, budget(5, dtype())));
    return std::vector{r.row_loss, r.dhidden, r.dweight};
  });
}

INSTANTIATE_TEST_SUITE_P(Cpu, KdHeadExact,
                         ::testing::Values(testing::DeviceDtype{Device::cpu(), DType::f64, 0},
                                           testing::DeviceDtype{Device::cpu(), DType::f32, 0},
                                           testing::DeviceDtype{Device::cpu(), DType::bf16, 0}),
                         [](const auto& test) { return test.param.name(); });

// p - q is some 1e-5 here and a 4096th of that nothing in f16, whose smallest number is 6e-8.
TEST(KdHead, AMeanDoesNotTakeF16GradientsToNothing) {
  const std::int64_t classes = 4096;
  const Tensor hidden = Tensor::full({2, 1}, 1), weight = Tensor::zeros({classes, 1});
  const Inputs in = {hidden.to(DType::f16), weight.to(DType::f16), hidden.to(DType::f16),
                     weight.to(DType::f16), Tensor::zeros({2}, DType::i32)};
  Results r(in);
  r.compute(in, {.loss = {.tau = 1, .kd_weight = 0, .ce_weight = 1, .mean_over = 8192}});
  const double expected = 2.0 / 8192 / static_cast<double>(classes);
  EXPECT_NEAR(testing::to_doubles(r.dweight)[1], expected, 1e-3 * expected);
}

}  // namespace
}  // namespace limbeck
