// SPDX-License-Identifier: Apache-2.0
// Layers of several inputs, stochastic depth in evaluation and smoothed labels against PyTorch's.
#include <limbeck/autograd/cross_entropy.h>
#include <limbeck/nn/model.h>
#include <limbeck/tests/fixture.h>

namespace limbeck::testing {
namespace {

LayerSpec made(const char* type, const char* name, std::int64_t out, const char* from = "input") {
  return {.type = type, .name = name, .out = out, .from = {from}};
}
LayerSpec joined(const char* type, std::vector<std::string> from) {
  return {.type = type, .name = "joined", .from = std::move(from)};
}

class JoinsTest : public DeviceTest {
 protected:
  void expect_model(const std::string& test_case, const ModelSpec& spec) const {
    SCOPED_TRACE(test_case);
    const auto model = build_model(spec, 0, dtype(), device());
    expect_parity(*model, Fixture("joins", test_case), device(), dtype());
  }
};
LIMBECK_INSTANTIATE_FULL_PRECISION_TEST(JoinsTest);

TEST_P(JoinsTest, Concat) {
  expect_model(
      "concat",
      {{4}, {made("linear", "a", 3), made("linear", "b", 2), joined("concat", {"a", "b"})}});
  LayerSpec a = made("conv2d", "a", 3), b = made("conv2d", "b", 1);
  a.kernel = b.kernel = 1;
  expect_model("concat_images", {{3, 4, 2}, {a, b, joined("concat", {"a", "b"})}});
}

TEST_P(JoinsTest, SwiGlu) {
  expect_model(
      "swiglu",
      {{4}, {made("linear", "a", 3), made("linear", "b", 3), joined("swiglu", {"a", "b"})}});
}

TEST_P(JoinsTest, DropPathInEvaluation) {
  LayerSpec path = made("drop_path", "path", 0, "a");
  path.p = 0.3;
  expect_model("drop_path",
               {{4}, {made("linear", "a", 4), path, joined("add", {"input", "path"})}});
}

TEST_P(JoinsTest, SmoothedLabels) {
  const Fixture fixture("joins", "label_smoothing");
  const Variable x(fixture["x0"].to(dtype()).to(device()), true);
  const Tensor labels =
      Tensor::from(std::vector<std::int32_t>{3, 0, kIgnoreIndex, 6, 6}, {5}).to(device());
  const Variable loss = cross_entropy(x, labels, {.label_smoothing = 0.1});
  expect_close(loss.value(), to_doubles(fixture["y"]), 1e-5);
  loss.backward(fixture["dy"].to(loss.value().dtype()).to(device()));
  expect_close(x.grad(), to_doubles(fixture["dx0"]), 1e-4);
}

TEST(Joins, SwiGluIsOfTwoInputs) {
  expect_error(
      [] {
        build_model({{4}, {made("linear", "a", 4), joined("swiglu", {"a", "input", "a"})}}, 0);
      },
      "swiglu) reads 3 inputs; expected 2");
}

}  // namespace
}  // namespace limbeck::testing
