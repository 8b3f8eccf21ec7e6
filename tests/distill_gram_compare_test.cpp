// SPDX-License-Identifier: Apache-2.0
// Tests of Gram matrices and their comparison as differentiable ops.
#include <limbeck/distill/gram_compare.h>

#include <limbeck/autograd/arithmetic.h>
#include <limbeck/autograd/grad_check.h>
#include <limbeck/autograd/gram.h>
#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

class DistillGramCompareTest : public DeviceTest {};
LIMBECK_INSTANTIATE_DEVICE_TEST(DistillGramCompareTest);

// Rows (1,2) and (3,0): inner products 5, 3, 9. A gradient (1,2;4,0) is turned into
// (2,6;6,0) x = (2*1+6*3, 2*2; 6*1, 6*2); a symmetric one (1,2;2,0) into 2 (1+6, 2; 2, 4).
TEST_P(DistillGramCompareTest, GramHandNumbers) {
  const Variable x(make({1, 2, 3, 0}, {2, 2}), true), same(x.value(), true);
  const Variable g = gram(x);
  expect_close(g.value(), {5, 3, 3, 9}, tolerance());
  g.backward(make({1, 2, 4, 0}, {2, 2}));
  expect_close(x.grad(), {20, 4, 6, 12}, 2 * tolerance());
  gram(same, GramGradient::symmetric).backward(make({1, 2, 2, 0}, {2, 2}));
  expect_close(same.grad(), {14, 4, 4, 8}, 2 * tolerance());
}

// Errors 1, -2 of 4, 3: loss 5/2, gradient (1,-2); relative 5/25 and 2/25 (1,-2), thrice that.
TEST_P(DistillGramCompareTest, HandNumbers) {
  const Tensor s = make({5, 1}, {1, 2}), t = make({4, 3}, {1, 2});
  const Variable a(s, true), b(s, true);
  const Variable plain = gram_compare(a, t), relative = gram_compare(b, t, {.relative = true});
  expect_close(plain.value(), {2.5}, tolerance());
  expect_close(relative.value(), {0.2}, 2e-6);
  scale(plain, 3).backward();
  scale(relative, 3).backward();
  expect_close(a.grad(), {3, -6}, tolerance());
  expect_close(b.grad(), {0.24, -0.48}, 2 * tolerance());
}

TEST(DistillGramCompare, Gradient) {  // 1e-6: h^2 f'''/6
  const Tensor x = Tensor::from(random_values(20, 1, 1), {4, 5});
  const Tensor t = Tensor::from(random_values(16, 1, 2), {4, 4});
  const auto check = [](const GradCheckResult& result) {
    EXPECT_LT(result.error, 1e-6) << result.where;
  };
  check(grad_check([](auto v) { return gram(v[0]); }, {x}));
  for (const bool relative : {false, true})
    check(grad_check(
        [&](auto v) {
          return gram_compare(gram(v[0]), t,
                              {.coefficients = {0.3, 0.5, 0.2, 0.1}, .relative = relative});
        },
        {x}));
}

TEST(DistillGramCompare, RefusesWhatIsNoMatrix) {
  expect_error([] { gram(Variable(Tensor::zeros({3}))); }, "gram: x has shape (3); expected (N,D)");
}

}  // namespace
}  // namespace limbeck::testing
