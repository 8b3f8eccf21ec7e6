// SPDX-License-Identifier: Apache-2.0
// Tests of the code loss as a differentiable op, and of what it estimates.
#include <limbeck/autograd/arithmetic.h>
#include <limbeck/autograd/grad_check.h>
#include <limbeck/autograd/matmul.h>
#include <limbeck/autograd/sketch.h>
#include <limbeck/distill/encode_and_compare.h>
#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

class DistillEncodeAndCompareTest : public DeviceTest {};
LIMBECK_INSTANTIATE_DEVICE_TEST(DistillEncodeAndCompareTest);

// Codes (1,2) and (0,4): loss (1 + 4)/2, gradient (1,-2), twice that upstream.
TEST_P(DistillEncodeAndCompareTest, HandNumbers) {
  const Variable student(make({1, 2}, {1, 2}), true);
  const Variable loss = encode_and_compare(student, make({0, 4}, {1, 2}), {.K = 2});
  expect_close(loss.value(), {2.5}, tolerance());
  scale(loss, 2).backward();
  expect_close(student.grad(), {2, -4}, tolerance());
}

TEST_P(DistillEncodeAndCompareTest, FusedEqualsOrdinaryOps) {
  const std::int64_t N = 7, D = 40, K = 12;
  const Tensor s = make(random_values(N * D, 1, 1), {N, D});
  const Tensor t = make(random_values(N * D, 1, 2), {N, D});
  const CountSketchPlan plan_s = count_sketch_plan(D, K, {.seed = 1}, device());
  const CountSketchPlan plan_t = count_sketch_plan(D, K, {.seed = 2}, device());
  const Variable fused(s, true), composed(s, true);
  const Variable a = encode_and_compare(fused, t, {.K = K, .student = plan_s, .teacher = plan_t});
  const Variable difference =
      sub(count_sketch(composed, plan_s), count_sketch(Variable(t), plan_t));
  const Variable b = mean(mul(difference, difference));
  scale(a, 3).backward();
  scale(b, 3).backward();
  // The ordinary ops round four intermediate tensors.
  expect_close(a.value(), to_doubles(b.value()), 4 * tolerance());
  expect_close(fused.grad(), to_doubles(composed.grad()), 4 * tolerance());
}

TEST_P(DistillEncodeAndCompareTest, CodesAreLeftWhenAskedForAndReadBack) {
  const std::int64_t N = 5, D = 30, K = 8;
  const Variable student(make(random_values(N * D, 1, 1), {N, D}), true);
  const Tensor teacher = make(random_values(N * D, 1, 2), {N, D});
  EncodeAndCompareOptions o{
      .K = K, .student = RademacherMatrix{1, 0}, .teacher = RademacherMatrix{2, 0}};
  Tensor code;
  const Variable live = encode_and_compare(student, teacher, o, {}, &code);
  o.teacher = GivenCode{};
  EXPECT_TRUE(same_bytes(encode_and_compare(student, code, o).value(), live.value()));
}

TEST_P(DistillEncodeAndCompareTest, ATeacherOfAnotherDtypeIsConverted) {
  const std::int64_t N = 5, D = 30, K = 8;
  const Variable student(make(random_values(N * D, 1, 1), {N, D}));
  const Tensor teacher =
      Tensor::from(random_values(N * D, 1, 2), {N, D}).to(DType::f16).to(device());
  const EncodeAndCompareOptions o{
      .K = K, .student = RademacherMatrix{1, 0}, .teacher = RademacherMatrix{2, 0}};
  EXPECT_TRUE(same_bytes(encode_and_compare(student, teacher, o).value(),
                         encode_and_compare(student, teacher.to(dtype()), o).value()));
}

TEST_P(DistillEncodeAndCompareTest, MicroBatchesAddUpToTheWhole) {
  const std::int64_t N = 8, D = 20, K = 8;
  const Tensor s = make(random_values(N * D, 1, 1), {N, D});
  const Tensor t = make(random_values(N * D, 1, 2), {N, D});
  const EncodeAndCompareOptions o{
      .K = K, .student = RademacherMatrix{1, 0}, .teacher = RademacherMatrix{2, 0}, .mean_over = N};
  const Variable whole(s, true), first(s.rows(0, 5), true);
  encode_and_compare(whole, t, o).backward();
  encode_and_compare(first, t.rows(0, 5), o).backward();
  EXPECT_TRUE(same_bytes(first.grad(), whole.grad().rows(0, 5)));
}

TEST(DistillEncodeAndCompare, Gradient) {  // quadratic: only rounding, 1e-12 / h
  const Tensor student = Tensor::from(random_values(60, 1, 1), {3, 20});
  const Tensor teacher = Tensor::from(random_values(33, 1, 2), {3, 11});
  const Tensor weight = Tensor::from(std::vector<double>{1, 0.5, 2}, {3});
  for (const TapEncoder& encoder :
       {TapEncoder(RademacherMatrix{1, 0}), TapEncoder(count_sketch_plan(20, 6, {.seed = 1}))}) {
    const EncodeAndCompareOptions o{.K = 6, .student = encoder, .teacher = RademacherMatrix{2, 0}};
    const GradCheckResult result = grad_check(
        [&](std::span<const Variable> v) { return encode_and_compare(v[0], teacher, o, weight); },
        {student});
    EXPECT_LT(result.error, 1e-7) << result.where;
  }
}

TEST(DistillEncodeAndCompare, GradientOfATrainableAdapter) {
  const Tensor student = Tensor::from(random_values(24, 1, 1), {3, 8});
  const Tensor adapter = Tensor::from(random_values(40, 1, 3), {5, 8});
  const Tensor teacher = Tensor::from(random_values(33, 1, 2), {3, 11});
  const EncodeAndCompareOptions o{.K = 5, .teacher = RademacherMatrix{2, 0}};
  const GradCheckResult result = grad_check(
      [&](std::span<const Variable> v) {
        return encode_and_compare(matmul(v[0], Trans::no, v[1], Trans::yes), teacher, o);
      },
      {student, adapter});
  EXPECT_LT(result.error, 1e-7) << result.where;
}

TEST(DistillEncodeAndCompare, EstimatesTheDistanceOfTheTaps) {
  // Encoders with one seed for both sides: E loss = |s - t|^2 / K. Four standard errors.
  const std::int64_t D = 30, K = 8, seeds = 2000;
  const Variable student(Tensor::from(random_values(D, 1, 1), {1, D}));
  const Tensor teacher = Tensor::from(random_values(D, 1, 2), {1, D});
  double distance = 0;
  for (std::size_t d = 0; d < static_cast<std::size_t>(D); ++d)
    distance += std::pow(random_values(D, 1, 1)[d] - random_values(D, 1, 2)[d], 2);
  for (const bool sketch : {false, true}) {
    double sum = 0, squares = 0;
    for (std::uint64_t seed = 0; seed < static_cast<std::uint64_t>(seeds); ++seed) {
      const TapEncoder encoder = sketch ? TapEncoder(count_sketch_plan(D, K, {.seed = seed}))
                                        : TapEncoder(RademacherMatrix{seed, 0});
      const double loss =
          encode_and_compare(student, teacher, {.K = K, .student = encoder, .teacher = encoder})
              .value()
              .item();
      sum += loss;
      squares += loss * loss;
    }
    const double mean = sum / static_cast<double>(seeds);
    const double variance = squares / static_cast<double>(seeds) - mean * mean;
    EXPECT_NEAR(mean, distance / K, 4 * std::sqrt(variance / static_cast<double>(seeds)));
  }
}

}  // namespace
}  // namespace limbeck::testing
