// SPDX-License-Identifier: Apache-2.0
#include <limbeck/core/device.h>

#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

TEST(Device, NamesAreReadBack) {
  EXPECT_EQ(Device::parse("cpu"), Device::cpu());
  EXPECT_EQ(Device::parse("cuda"), Device::cuda(0));
  EXPECT_EQ(Device::parse("cuda:3"), Device::cuda(3));
  EXPECT_EQ(Device::cpu().str(), "cpu");
  EXPECT_EQ(Device::cuda(2).str(), "cuda:2");
  EXPECT_FALSE(Device().is_cuda());
  EXPECT_NE(Device::cuda(0), Device::cpu());
  EXPECT_NE(Device::cuda(0), Device::cuda(1));
}

TEST(Device, BadNamesAreRejected) {
  for (const char* text : {"", "gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:1x", "CPU"})
    expect_error([&] { Device::parse(text); },
                 std::string("device '") + text + "'; expected cpu, cuda or cuda:N");
}

TEST(Device, TheCpuHasANameAndIsAlwaysDone) {
  EXPECT_FALSE(device_name(Device::cpu()).empty());
  synchronize(Device::cpu());
}

TEST(Device, AskingForAMissingGpuIsACudaError) {
  const Device missing = Device::cuda(cuda_device_count());
  expect_error<CudaError>([&] { Tensor::zeros({1}, DType::f32, missing); }, "");
}

}  // namespace
}  // namespace limbeck::testing
