// SPDX-License-Identifier: Apache-2.0
// What makes a receiver's features as wide as the source's.
#include <limbeck/distill/adapter.h>

#include <limbeck/autograd/activation.h>
#include <limbeck/autograd/linear.h>
#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

TEST(Adapter, IsAFunctionOfItsSeed) {
  const auto weights = [](AdapterKind kind, std::uint64_t seed) {
    const auto adapter = make_adapter(kind, 3, 5, seed);
    std::vector<double> all;
    for (const NamedParameter& p : adapter_parameters(*adapter))
      for (const double w : to_doubles(p.value.value())) all.push_back(w);
    return all;
  };
  EXPECT_EQ(weights(AdapterKind::linear, 1).size(), 3u * 5 + 5);
  EXPECT_EQ(weights(AdapterKind::vid, 1).size(), 3u * 5 + 5 * 5 + 5 * 5);
  EXPECT_EQ(weights(AdapterKind::vid, 1), weights(AdapterKind::vid, 1));
  EXPECT_NE(weights(AdapterKind::vid, 1), weights(AdapterKind::vid, 2));
  const auto linear = make_adapter(AdapterKind::linear, 3, 5, 1);
  EXPECT_EQ(adapter_parameters(*linear)[0].name, "adapter.weight");
  EXPECT_EQ(linear->output_shape({7, 3}), (Shape{7, 5}));
}

// vid: three products without bias, relu between them and none after.
TEST(Adapter, VidIsItsThreeLayers) {
  const auto vid = make_adapter(AdapterKind::vid, 3, 4, 1, DType::f64);
  const Variable x(Tensor::from(random_values(15, 1, 2), {5, 3}));
  const auto p = adapter_parameters(*vid, "to");
  ASSERT_EQ(p.size(), 3u);
  EXPECT_EQ(p[2].name, "to.4.weight");
  const Variable hidden =
      linear(linear(x, p[0].value, {}, Activation::relu), p[1].value, {}, Activation::relu);
  Context context;
  EXPECT_TRUE(same_bytes(vid->forward(x, context).value(), linear(hidden, p[2].value, {}).value()));
}

}  // namespace
}  // namespace limbeck::testing
