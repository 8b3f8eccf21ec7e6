// SPDX-License-Identifier: Apache-2.0
#include <limbeck/autograd/joined_conv2d.h>

#include <limbeck/autograd/conv2d.h>
#include <limbeck/tests/joined_test.h>

namespace limbeck {
namespace {

using testing::same_bytes;

class JoinedConv2dGradTest : public testing::JoinedTest {};
LIMBECK_INSTANTIATE_DEVICE_TEST(JoinedConv2dGradTest);

TEST_P(JoinedConv2dGradTest, GradientsAreThoseOfConv2d) {
  for (const bool relu : {false, true}) {
    const auto gradients = [&](bool joined) {
      const Variable x(random({2, 5, 5, 2}, 1), true), w(random({4, 3, 3, 2}, 2), true);
      const Variable b(random({4}, 3), true), other(random({2, 3, 3, 2}, 4), true);
      const std::vector<Conv2dLayer> layers = {{w, b, relu, false}, {other, {}, false, true}};
      const Variable y = joined ? joined_conv2d(x, layers, {1, 1})[0]
                                : conv2d(x, w, b, {.padding = 1, .relu = relu});
      y.backward(random(y.shape(), 5));
      EXPECT_FALSE(other.grad().defined());
      return std::vector{y.value(), x.grad(), w.grad(), b.grad()};
    };
    const auto joined = gradients(true), apart = gradients(false);
    for (std::size_t i = 0; i < joined.size(); ++i) EXPECT_TRUE(same_bytes(joined[i], apart[i]));
  }
}

}  // namespace
}  // namespace limbeck
