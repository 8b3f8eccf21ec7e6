// SPDX-License-Identifier: Apache-2.0
// conformance_test.cu's part about matrices: ldmatrix and mma.
#include <limbeck/tests/conformance.h>

namespace limbeck {
namespace {

// --- matrices ------------------------------------------------------------------------------------

/// Element (r, c) of matrix m is 100 m + 10 r + c; its rows lie 48 bytes apart, matrices 3 1 0 2.
LIMBECK_KERNEL load_matrices_kernel(std::uint32_t* out) {
  LIMBECK_SHARED_ALIGNED(16, std::uint16_t, tile, [4][8][24]);
  const int lane = static_cast<int>(threadIdx.x);
  const int order[4] = {3, 1, 0, 2};
  for (int c = 0; c < 8; ++c)
    tile[order[lane / 8]][lane % 8][c] =
        static_cast<std::uint16_t>(100 * (lane / 8) + 10 * (lane % 8) + c);
  gpu::sync_block();
  const std::uint16_t* row = &tile[order[lane / 8]][lane % 8][0];
  const gpu::FragmentA plain = gpu::load_matrices(row);
  const gpu::FragmentA transposed = gpu::load_matrices_transposed(row);
  for (int i = 0; i < 4; ++i) {
    out[8 * lane + i] = plain.pair[i];
    out[8 * lane + 4 + i] = transposed.pair[i];
  }
}

TEST_F(ConformanceTest, LoadMatrices) {
  Tensor out = ints(8 * 32);
  gpu::launch({"load_matrices", 1, 32}, load_matrices_kernel, words(out));
  const std::vector<int> v = out.to_vector<int>();
  for (int lane = 0; lane < 32; ++lane)
    for (int m = 0; m < 4; ++m) {
      // PTX ISA, ldmatrix: thread 4 r + c / 2 receives elements c and c + 1 of row r.
      const int r = lane / 4, c = lane % 4 * 2;
      const auto plain = static_cast<std::size_t>(8 * lane + m);
      EXPECT_EQ(v[plain], 100 * m + 10 * r + c + ((100 * m + 10 * r + c + 1) << 16));
      EXPECT_EQ(v[plain + 4], 100 * m + 10 * c + r + ((100 * m + 10 * (c + 1) + r) << 16));
    }
}

template <class T>
LIMBECK_KERNEL fragments_kernel(float* c, const std::uint32_t* a, const std::uint32_t* b) {
  const unsigned lane = threadIdx.x;
  gpu::FragmentA fa;
  gpu::FragmentB fb;
  gpu::FragmentC fc;
  for (int i = 0; i < 4; ++i) fa.pair[i] = a[4 * lane + i];
  for (int i = 0; i < 2; ++i) fb.pair[i] = b[2 * lane + i];
  for (int i = 0; i < 4; ++i) fc.value[i] = c[4 * lane + i];
  gpu::mma<T>(fc, fa, fb);
  for (int i = 0; i < 4; ++i) c[4 * lane + i] = fc.value[i];
}

/// Small integers, so that every sum is exact in any order.
std::vector<double> small_integers(std::int64_t n, std::uint64_t seed) {
  std::vector<double> v = testing::random_values(n, 8, seed);
  for (double& x : v) x = std::floor(x);
  return v;
}

/// The 16-bit patterns of `values`, two to a word.
template <class T>
std::vector<int> pairs(const std::vector<double>& values) {
  std::vector<int> words(values.size() / 2);
  for (std::size_t i = 0; i < values.size(); ++i)
    words[i / 2] |= T(static_cast<float>(values[i])).bits << 16 * (i % 2);
  return words;
}

/// What mma.m16n8k16 makes of fragments: per lane 8 elements of A, 4 of B and 4 of C, in the PTX
/// ISA's words a0..a7, b0..b3, c0..c3.
std::vector<float> expected_fragments(const std::vector<double>& a, const std::vector<double>& b,
                                      const std::vector<double>& c) {
  double A[16][16], B[16][8];
  std::vector<float> d(32 * 4);
  const auto for_each = [](int elements, auto visit) {
    for (int lane = 0; lane < 32; ++lane)
      for (int i = 0; i < elements; ++i)
        visit(static_cast<std::size_t>(elements * lane + i), i, lane >> 2, lane % 4);
  };
  for_each(8, [&](std::size_t at, int i, int group, int thread) {
    const int row = (0 <= i && i < 2) || (4 <= i && i < 6) ? group : group + 8;
    const int col = i < 4 ? thread * 2 + (i & 1) : thread * 2 + (i & 1) + 8;
    A[row][col] = a[at];
  });
  for_each(4, [&](std::size_t at, int i, int group, int thread) {
    const int row = i < 2 ? thread * 2 + (i & 1) : thread * 2 + (i & 1) + 8;
    B[row][group] = b[at];
  });
  for_each(4, [&](std::size_t at, int i, int group, int thread) {
    const int row = i < 2 ? group : group + 8, col = thread * 2 + (i & 1);
    double sum = c[at];
    for (int k = 0; k < 16; ++k) sum += A[row][k] * B[k][col];
    d[at] = static_cast<float>(sum);
  });
  return d;
}

template <class T>
void expect_fragments() {
  const auto a = small_integers(32 * 8, 1), b = small_integers(32 * 4, 2),
             c = small_integers(32 * 4, 3);
  const Tensor a_words = Tensor::from(pairs<T>(a), {32 * 4}, Device::cuda());
  const Tensor b_words = Tensor::from(pairs<T>(b), {32 * 2}, Device::cuda());
  Tensor out = Tensor::from(c, {32 * 4}).to(DType::f32).to(Device::cuda());
  gpu::launch({"fragments", 1, 32}, fragments_kernel<T>, out.data<float>(), words(a_words),
              words(b_words));
  EXPECT_EQ(out.to_vector<float>(), expected_fragments(a, b, c));
}

TEST_F(ConformanceTest, MatrixFragments) {
  if (older_than(80)) GTEST_SKIP() << "mma needs sm_80";
  expect_fragments<BFloat16>();
  expect_fragments<Float16>();
}

/// (16, 8) = (16, 16) * (16, 8), all row-major: as kernels do it, by way of shared memory.
LIMBECK_KERNEL small_product_kernel(float* c, const BFloat16* a, const BFloat16* b) {
  LIMBECK_SHARED_ALIGNED(16, BFloat16, ta, [16][16]);
  LIMBECK_SHARED_ALIGNED(16, BFloat16, tb, [16][8]);
  const int lane = static_cast<int>(threadIdx.x);
  gpu::copy_async<16>(&ta[lane / 2][lane % 2 * 8], a + 8 * lane);
  if (lane < 16) gpu::copy_async<16>(&tb[lane][0], b + 8 * lane);
  gpu::commit_copies();
  gpu::wait_copies<0>();
  gpu::sync_block();
  const gpu::FragmentA fa = gpu::load_matrices(&ta[lane % 16][lane / 16 * 8]);
  const gpu::FragmentA both = gpu::load_matrices_transposed(&tb[lane % 16][0]);
  gpu::FragmentC fc{};
  gpu::mma<BFloat16>(fc, fa, {{both.pair[0], both.pair[1]}});
  for (int i = 0; i < 4; ++i) c[(lane / 4 + i / 2 * 8) * 8 + lane % 4 * 2 + i % 2] = fc.value[i];
}

TEST_F(ConformanceTest, ProductByWayOfSharedMemory) {
  if (older_than(80)) GTEST_SKIP() << "mma needs sm_80";
  const auto a = small_integers(16 * 16, 4), b = small_integers(16 * 8, 5);
  const Tensor ta = Tensor::from(a, {16, 16}).to(DType::bf16).to(Device::cuda());
  const Tensor tb = Tensor::from(b, {16, 8}).to(DType::bf16).to(Device::cuda());
  Tensor out = Tensor::zeros({16, 8}, DType::f32, Device::cuda());
  gpu::launch({"small_product", 1, 32}, small_product_kernel, out.data<float>(),
              ta.data<BFloat16>(), tb.data<BFloat16>());
  std::vector<double> expected(16 * 8);
  for (std::size_t i = 0; i < 16; ++i)
    for (std::size_t j = 0; j < 8; ++j)
      for (std::size_t k = 0; k < 16; ++k) expected[8 * i + j] += a[16 * i + k] * b[8 * k + j];
  testing::expect_close(out, expected, 0);
}

}  // namespace
}  // namespace limbeck
