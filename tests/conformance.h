// SPDX-License-Identifier: Apache-2.0
// What the conformance tests share.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <vector>

#include <limbeck/core/gpu_grid.h>
#include <limbeck/core/half.h>
#include <limbeck/core/tensor.h>
#include <limbeck/tests/device_test.h>

namespace limbeck {

using gpu::kWarp;

/// Skips where there is no GPU to compare with, or one older than `capability`.
class ConformanceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (cuda_device_count() == 0) GTEST_SKIP() << "no GPU";
  }
  static bool older_than(int capability) { return gpu::compute_capability() < capability; }

  static Tensor ints(std::int64_t n, int value = -1) {
    return Tensor::full({n}, value, DType::i32, Device::cuda());
  }
  template <class T>
  static Tensor on_device(const std::vector<T>& values) {
    return Tensor::from(values, {static_cast<std::int64_t>(values.size())}, Device::cuda());
  }
};

inline std::uint32_t* words(const Tensor& t) {
  return static_cast<std::uint32_t*>(const_cast<void*>(t.raw()));
}

}  // namespace limbeck
