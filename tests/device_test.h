// SPDX-License-Identifier: Apache-2.0
// Fixture for op tests: the same body runs per device and dtype, with the tolerance in the
// parameter.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <limbeck/core/dispatch.h>
#include <limbeck/core/philox.h>
#include <limbeck/core/tensor.h>

namespace limbeck::testing {

struct DeviceDtype {
  Device device;
  DType dtype;
  /// Bound on error / max|expected| for one op: a few roundings of the dtype.
  double tolerance;
  std::string name() const {
    return (device.is_cuda() ? "cuda_" : "cpu_") + std::string(dtype_name(dtype));
  }
};

/// f64: 1e-12. f32: 2e-6, some 16 ulp. bf16: 2^-7 and f16: 2^-10, one rounding of an 8-bit and an
/// 11-bit significand plus slack.
inline std::vector<DeviceDtype> all_devices() {
  std::vector<DeviceDtype> params = {{Device::cpu(), DType::f64, 1e-12},
                                     {Device::cpu(), DType::f32, 2e-6},
                                     {Device::cpu(), DType::bf16, 0x1p-7},
                                     {Device::cpu(), DType::f16, 0x1p-10}};
#if LIMBECK_HAS_GPU
  params.push_back({Device::cuda(), DType::f32, 2e-6});
  params.push_back({Device::cuda(), DType::bf16, 0x1p-7});
  params.push_back({Device::cuda(), DType::f16, 0x1p-10});
#endif
  return params;
}

/// all_devices() less the 16-bit parameters, for ops that have none.
inline std::vector<DeviceDtype> full_precision_devices() {
  std::vector<DeviceDtype> params = all_devices();
  std::erase_if(params, [](const DeviceDtype& p) { return dtype_size(p.dtype) < 4; });
  return params;
}

/// Skips CUDA parameters where no GPU is visible, and fails a CUDA test that never used one.
class DeviceTest : public ::testing::TestWithParam<DeviceDtype> {
 protected:
  void SetUp() override {
    if (GetParam().device.is_cuda() && cuda_device_count() == 0) GTEST_SKIP() << "no GPU";
    launched_before_ = cuda_launch_count();
  }
  void TearDown() override {
    if (GetParam().device.is_cuda() && cuda_device_count() > 0 && !IsSkipped()) {
      if (launches_)
        EXPECT_GT(cuda_launch_count(), launched_before_) << "the CUDA test never launched a kernel";
      else
        EXPECT_EQ(cuda_launch_count(), launched_before_) << "there should be nothing to launch";
    }
  }
  Device device() const { return GetParam().device; }
  DType dtype() const { return GetParam().dtype; }
  double tolerance() const { return GetParam().tolerance; }

  /// Said by a test of empty tensors: no kernel is to be launched at all.
  void expect_no_launch() { launches_ = false; }

  /// Values on the test's device and dtype.
  Tensor make(const std::vector<double>& values, const Shape& shape) const {
    return Tensor::from(values, shape).to(dtype()).to(device());
  }
  Tensor make_like(const Shape& shape) const { return Tensor::full(shape, 777, dtype(), device()); }

 private:
  std::uint64_t launched_before_ = 0;
  bool launches_ = true;
};

#define LIMBECK_INSTANTIATE_DEVICE_TEST(fixture)                                                   \
  INSTANTIATE_TEST_SUITE_P(Devices, fixture, ::testing::ValuesIn(limbeck::testing::all_devices()), \
                           [](const auto& test) { return test.param.name(); })

/// n doubles, uniform in [-scale, scale), from the counter RNG.
inline std::vector<double> random_values(std::int64_t n, double scale = 1, std::uint64_t seed = 1) {
  std::vector<double> v(static_cast<std::size_t>(n));
  for (std::int64_t i = 0; i < n; ++i)
    v[static_cast<std::size_t>(i)] =
        scale * (2.0 * uniform_from_word(philox_word({seed, 0, 0, RngPurpose::data},
                                                     static_cast<std::uint64_t>(i))) -
                 1.0);
  return v;
}

inline std::vector<double> to_doubles(const Tensor& t) {
  return t.to(Device::cpu()).to(DType::f64).to_vector<double>();
}

/// Every element within tolerance * max|expected| (tolerance itself when all expected are 0), and
/// `step` more. The scale is the tensor's own, so an all-zero result cannot pass for small
/// gradients.
inline void expect_close(const std::vector<double>& actual, const std::vector<double>& expected,
                         double tolerance, const std::string& what = "", double step = 0) {
  ASSERT_EQ(actual.size(), expected.size()) << what;
  double scale = 0;
  for (double e : expected) scale = std::max(scale, std::abs(e));
  const double bound = tolerance * (scale > 0 ? scale : 1.0) + step;
  for (std::size_t i = 0; i < actual.size(); ++i)
    ASSERT_TRUE(actual[i] == expected[i] || std::abs(actual[i] - expected[i]) <= bound)
        << what << " element " << i << ": " << actual[i] << ", expected " << expected[i]
        << " within " << bound;
}

/// Small values of f16 are multiples of 2^-24, so rounding alone is off by half of that.
inline double rounding_step(DType dtype) { return dtype == DType::f16 ? 0x1p-25 : 0; }

/// With the dtype's rounding step, except where nothing is tolerated.
inline void expect_close(const Tensor& actual, const std::vector<double>& expected,
                         double tolerance, const std::string& what = "") {
  const double step = tolerance > 0 ? rounding_step(actual.dtype()) : 0;
  expect_close(to_doubles(actual), expected, tolerance, what, step);
}

inline bool same_bytes(const Tensor& a, const Tensor& b) {
  const Tensor x = a.to(Device::cpu()), y = b.to(Device::cpu());
  return x.shape() == y.shape() && x.dtype() == y.dtype() &&
         std::equal(static_cast<const char*>(x.raw()),
                    static_cast<const char*>(x.raw()) + x.nbytes(),
                    static_cast<const char*>(y.raw()));
}

/// Runs fn and expects std::invalid_argument (or another Error type) whose text contains `part`.
template <class Error = std::invalid_argument, class Fn>
void expect_error(Fn&& fn, const std::string& part) {
  try {
    fn();
    FAIL() << "no exception; expected one containing: " << part;
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find(part), std::string::npos) << e.what();
  }
}

}  // namespace limbeck::testing
