// SPDX-License-Identifier: Apache-2.0
// The exact bias sweep against hand numbers and a grid.
#include <limbeck/distill/bias_sweep.h>

#include <limbeck/tests/device_test.h>

namespace limbeck {
namespace {

using testing::expect_error;

TEST(BiasSweep, HandNumbers) {
  // Class 2 is too weak. Sample 0 (label 2) turns right above 3 - 1 = 2, sample 1 (label 2) above
  // 1.5 - 1 = 0.5; sample 2 (label 0) is right below 4 - 1 = 3. So all are right in (2,3), whose
  // point nearest 0, half the width inside, is 2.5.
  const Tensor logits = Tensor::from<float>({3, 0, 1, 1.5, 0, 1, 4, 0, 1}, {3, 3});
  const Tensor labels = Tensor::from<std::int32_t>({2, 2, 0}, {3});
  const BiasSweep sweep = sweep_bias(logits, labels, {2});
  EXPECT_EQ(sweep.as_is.all, 2);
  EXPECT_EQ(sweep.as_is.swept, 2);
  EXPECT_EQ(sweep.best.all, 0);
  EXPECT_EQ(sweep.best.swept, 0);
  EXPECT_DOUBLE_EQ(sweep.offset, 2.5);
}

TEST(BiasSweep, LeavesAGoodBiasAlone) {
  const Tensor logits = Tensor::from<float>({3, 0, 0, 3}, {2, 2});
  const Tensor labels = Tensor::from<std::int32_t>({0, 1}, {2});
  EXPECT_EQ(sweep_bias(logits, labels, {1}).offset, 0);
}

std::int64_t errors_with_offset(const std::vector<double>& z, const std::vector<std::int32_t>& y,
                                std::int64_t V, double offset) {
  std::int64_t errors = 0;
  for (std::size_t n = 0; n < y.size(); ++n) {
    std::vector<double> row(z.begin() + static_cast<std::ptrdiff_t>(n) * V,
                            z.begin() + static_cast<std::ptrdiff_t>(n + 1) * V);
    row[7] += offset;
    row[8] += offset;
    errors += std::max_element(row.begin(), row.end()) - row.begin() != y[n];
  }
  return errors;
}

TEST(BiasSweep, NoGridPointIsBetter) {
  // 200 samples of 10 classes: random logits, the label's raised by 2, those of 7 and 8 by 3.
  const std::int64_t N = 200, V = 10;
  std::vector<double> z = testing::random_values(N * V, 3);
  std::vector<std::int32_t> y;
  for (std::int64_t n = 0; n < N; ++n) {
    y.push_back(static_cast<std::int32_t>(n % V));
    z[static_cast<std::size_t>(n * V + y.back())] += 2;
    z[static_cast<std::size_t>(n * V + 7)] += 3;
    z[static_cast<std::size_t>(n * V + 8)] += 3;
  }
  const BiasSweep sweep = sweep_bias(Tensor::from(z, {N, V}), Tensor::from(y, {N}), {7, 8});
  EXPECT_EQ(sweep.as_is.all, errors_with_offset(z, y, V, 0));
  EXPECT_EQ(sweep.best.all, errors_with_offset(z, y, V, sweep.offset));
  EXPECT_LT(sweep.offset, 0);
  for (int i = -1200; i <= 1200; ++i) {
    const double offset = 0.01 * i;
    ASSERT_LE(sweep.best.all, errors_with_offset(z, y, V, offset)) << offset;
  }
}

TEST(BiasSweep, Rejects) {
  const Tensor logits = Tensor::zeros({2, 3});
  const Tensor labels = Tensor::zeros({2}, DType::i32);
  expect_error([&] { sweep_bias(logits, labels, {3}); },
               "class 3; expected distinct classes in [0,3)");
  expect_error([&] { sweep_bias(logits, labels, {1, 1}); }, "class 1; expected distinct");
  expect_error([&] { sweep_bias(logits, labels, {}); }, "0 of 3 classes");
  expect_error([&] { sweep_bias(logits, labels, {0, 1, 2}); }, "3 of 3 classes");
  expect_error([&] { sweep_bias(logits, Tensor::zeros({3}, DType::i32), {1}); },
               "logits have shape (2,3), labels (3)");
}

}  // namespace
}  // namespace limbeck
