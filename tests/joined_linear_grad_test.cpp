// SPDX-License-Identifier: Apache-2.0
#include <limbeck/autograd/joined_linear.h>

#include <limbeck/autograd/linear.h>
#include <limbeck/tests/joined_test.h>
#include <limbeck/tests/same_bits.h>

namespace limbeck {
namespace {

using testing::same_bytes;

class JoinedLinearGradTest : public testing::JoinedTest {};

TEST_P(JoinedLinearGradTest, GradientsAreThoseOfLinear) {
  const Tensor xv = random({6, 4}, 1), wv = random({3, 4}, 2), bv = random({3}, 3);
  const Tensor dy = random({6, 3}, 5);
  const auto gradients = [&](bool joined) {
    const Variable x(xv, true), w(wv.clone(), true), b(bv.clone(), true);
    const Variable other(random({2, 4}, 4), true);
    const Variable y =
        joined ? joined_linear(
                     x, std::vector<LinearLayer>{{.w = w, .bias = b, .act = Activation::gelu},
                                                 {.w = other, .bias = {}, .frozen = true}})[0]
               : linear(x, w, b, Activation::gelu);
    y.backward(dy);
    EXPECT_FALSE(other.grad().defined());
    return std::vector{y.value(), x.grad(), w.grad(), b.grad()};
  };
  const auto joined = gradients(true), apart = gradients(false);
  for (std::size_t i = 0; i < joined.size(); ++i) EXPECT_TRUE(same_bytes(joined[i], apart[i]));
}

LIMBECK_INSTANTIATE_DEVICE_TEST(JoinedLinearGradTest);

}  // namespace
}  // namespace limbeck
