// SPDX-License-Identifier: Apache-2.0
// What PyTorch computed (tools/peers/parity), to compare a module with.
#pragma once

#include <map>
#include <string>

#include <limbeck/nn/weights.h>
#include <limbeck/tests/device_test.h>

namespace limbeck::testing {

/// For tests whose fixtures are f32: the devices' f32, and f64 on the CPU.
#define LIMBECK_INSTANTIATE_FULL_PRECISION_TEST(fixture)                                    \
  INSTANTIATE_TEST_SUITE_P(Devices, fixture,                                                \
                           ::testing::ValuesIn(limbeck::testing::full_precision_devices()), \
                           [](const auto& test) { return test.param.name(); })

/// The tensors of one case of tests/fixtures/<name>.safetensors, on the CPU in PyTorch's layout.
class Fixture {
 public:
  Fixture(const std::string& name, const std::string& test_case) {
    const SafetensorsFile file =
        read_safetensors(LIMBECK_SOURCE_DIR "/tests/fixtures/" + name + ".safetensors");
    for (const auto& [key, tensor] : file.tensors)
      if (key.starts_with(test_case + "/")) tensors_[key.substr(test_case.size() + 1)] = tensor;
    if (tensors_.empty()) throw std::invalid_argument(name + " has no case " + test_case);
  }

  bool has(const std::string& key) const { return tensors_.contains(key); }
  const Tensor& operator[](const std::string& key) const { return tensors_.at(key); }

  /// The same with weights and their gradients under other names.
  Fixture renamed(std::span<const NameRule> rules) const {
    Fixture result = *this;
    for (const std::string prefix : {"w.", "dw."}) {
      std::erase_if(result.tensors_, [&](const auto& t) { return t.first.starts_with(prefix); });
      for (const auto& [name, tensor] : rename_weights(weights(prefix), rules).tensors)
        result.tensors_[prefix + name] = tensor;
    }
    return result;
  }

  /// The tensors "<prefix><name>" as a weight file: "w." for the weights before the pass, "dw." for
  /// their gradients.
  SafetensorsFile weights(const std::string& prefix = "w.") const {
    SafetensorsFile file;
    for (const auto& [key, tensor] : tensors_)
      if (key.starts_with(prefix)) file.tensors.emplace_back(key.substr(prefix.size()), tensor);
    return file;
  }

 private:
  std::map<std::string, Tensor> tensors_;
};

/// (N,C,H,W) as (N,H,W,C), and back.
inline Tensor swap_channels(const Tensor& t, bool to_nhwc) {
  const std::int64_t N = t.dim(0), C = t.dim(to_nhwc ? 1 : 3);
  const std::int64_t H = t.dim(to_nhwc ? 2 : 1), W = t.dim(to_nhwc ? 3 : 2);
  Tensor out = Tensor::empty(to_nhwc ? Shape{N, H, W, C} : Shape{N, C, H, W}, t.dtype());
  const float* from = t.data<float>();
  float* to = out.data<float>();
  for (std::int64_t n = 0; n < N; ++n)
    for (std::int64_t c = 0; c < C; ++c)
      for (std::int64_t cell = 0; cell < H * W; ++cell) {
        const std::int64_t nchw = (n * C + c) * H * W + cell, nhwc = (n * H * W + cell) * C + c;
        to[to_nhwc ? nhwc : nchw] = from[to_nhwc ? nchw : nhwc];
      }
  return out;
}

/// Runs `module` as PyTorch's was run: its weights, x0 and dy, images (rank 4) turned to NHWC and
/// back. The output must be within 1e-5 and every gradient within 1e-4 of PyTorch's f32, scaled by
/// the largest: both engines round in orders of their own. In f64 only PyTorch rounds.
inline void expect_parity(Module& module, const Fixture& fixture, Device device, DType dtype,
                          Context context = {}) {
  const auto enter = [&](const Tensor& t) {
    const Tensor host = t.rank() == 4 ? swap_channels(t, true) : t;
    return (is_floating(t.dtype()) ? host.to(dtype) : host).to(device);
  };
  const auto leave = [](const Tensor& t) {
    const Tensor host = t.to(Device::cpu()).to(DType::f32);
    return host.rank() == 4 ? swap_channels(host, false) : host;
  };
  import_weights(module, fixture.weights());
  const Tensor& x0 = fixture["x0"];
  const Variable x(enter(x0), is_floating(x0.dtype()));
  const Variable y = module.forward(x, context);
  ASSERT_EQ(leave(y.value()).shape(), fixture["y"].shape());
  expect_close(leave(y.value()), to_doubles(fixture["y"]), 1e-5, "y");
  y.backward(enter(fixture["dy"]));
  if (x.requires_grad()) expect_close(leave(x.grad()), to_doubles(fixture["dx0"]), 1e-4, "dx");
  for (const auto& [name, gradient] : export_gradients(module).tensors)
    expect_close(gradient, to_doubles(fixture["dw." + name]), 1e-4, name);
}

}  // namespace limbeck::testing
