// SPDX-License-Identifier: Apache-2.0
#include <limbeck/core/simd.h>

#include <limbeck/tests/same_bits.h>

namespace limbeck::testing {
namespace {

TEST(Simd, RunsTheBodyOnceWithTheWidthOfTheSet) {
  const CpuIsa before = cpu_isa();
  for (CpuIsa isa : cpu_isas()) {
    set_cpu_isa(isa);
    EXPECT_EQ(cpu_isa(), isa);
    int runs = 0, lanes = 0;
    simd([&](auto width) {
      ++runs;
      lanes = width.value;
    });
    EXPECT_EQ(runs, 1);
    EXPECT_EQ(lanes, isa == CpuIsa::avx512 ? 16 : isa == CpuIsa::avx2 ? 8 : 4);
  }
  set_cpu_isa(before);
}

TEST(Simd, ProductsAreNotContracted) {
  // a*b + c with two roundings is 0 here, with one it is 2^-24.
  const float a[1] = {1 + 0x1p-12f}, c[1] = {-(1 + 0x1p-11f)};
  const CpuIsa before = cpu_isa();
  for (CpuIsa isa : cpu_isas()) {
    set_cpu_isa(isa);
    volatile float product_sum = 1, fused = 0;
    simd([&](auto) {
      product_sum = a[0] * a[0] + c[0];
      fused = __builtin_fmaf(a[0], a[0], c[0]);
    });
    EXPECT_EQ(product_sum, 0) << cpu_isa_name(isa);
    EXPECT_EQ(fused, 0x1p-24f) << cpu_isa_name(isa);
  }
  set_cpu_isa(before);
}

TEST(Simd, SetsThatTheCpuLacksAreRejected) {
  if (cpu_isas().back() == CpuIsa::avx512) GTEST_SKIP() << "this CPU has every set";
  expect_error([] { set_cpu_isa(CpuIsa::avx512); }, "set_cpu_isa: avx512; this CPU has at most");
}

}  // namespace
}  // namespace limbeck::testing
