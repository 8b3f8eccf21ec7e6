// SPDX-License-Identifier: Apache-2.0
// Three kinds of pass: all factors' count sketches from one read of x, convolutions of codes, and
// the gather back to columns. Codes between them are f32.
#include <limbeck/kernels/tensor_sketch.h>

#include <cmath>

#include <limbeck/kernels/sketch.cuh>

namespace limbeck::cuda {
namespace {

using gpu::Four;
using gpu::kFour;
using gpu::kFourThreads;

constexpr int kOwn = 2;                      // buckets per thread and factor
constexpr int kGroup = kOwn * kFourThreads;  // buckets per block

struct Factors {
  gpu::SketchTables tables[kMaxDegree];
  float root_gamma, root_c;
};

struct CodePointers {
  float* code[kMaxDegree];  // (N,K) each
};

/// Count sketches of (sqrt(gamma) x, sqrt(c)). A block takes four rows and 512 buckets; reads N*D
/// elements per 512 buckets, writes kDegree*N*K floats.
template <int kDegree, class T>
LIMBECK_KERNEL tensor_sketch_codes_kernel(CodePointers out, gpu::FourRows<const T> x,
                                          Factors factors) {
  LIMBECK_SHARED_ALIGNED(16, Four, tile, [gpu::kStage]);
  const int K = factors.tables[0].K;
  x.first = gpu::first_row();
  gpu::BucketWalk walk[kDegree * kOwn];
  LIMBECK_UNROLL
  for (int i = 0; i < kDegree * kOwn; ++i)
    walk[i].bucket = static_cast<int>(blockIdx.y) * kGroup + i % kOwn * kFourThreads +
                     static_cast<int>(threadIdx.x);
  gpu::for_each_stage(tile, x, [&](int begin, int end) {
    LIMBECK_UNROLL
    for (int i = 0; i < kDegree * kOwn; ++i)
      walk[i].add(factors.tables[i / kOwn], tile, begin, end, factors.root_gamma);
  });
  LIMBECK_UNROLL
  for (int i = 0; i < kDegree * kOwn; ++i) {
    const int target = factors.tables[i / kOwn].target[x.columns];
    const float constant = target & 1 ? -factors.root_c : factors.root_c;
    LIMBECK_UNROLL
    for (int r = 0; r < kFour; ++r)
      if (walk[i].bucket < K && x.holds(r))
        out.code[i / kOwn][x.row(r) * K + walk[i].bucket] =
            walk[i].sum.row[r] + (target >> 1 == walk[i].bucket ? constant : 0.0f);
  }
}

constexpr int kConvolveThreads = 256;
constexpr int kOutputs = 4;  // per thread, next to each other

struct Convolution {
  std::int64_t rows;
  int K, padded;  // K, and that rounded up to kOutputs
  bool reversed;  // correlation: b_-j in the place of b_j
};

/// One thread's kOutputs chains over i of a_i b_(k-i); a and b are in shared memory, b twice.
LIMBECK_DEVICE Four chains(const float* a, const float* b, int steps) {
  const auto quad = [](const float* p) { return __builtin_bit_cast(Four, gpu::load16(p)); };
  Four sum = {};
  Four high = quad(b);
  for (int i = 0; i < steps; i += kOutputs) {
    const Four x = quad(a + i), low = quad(b - i - kOutputs);
    const float window[2 * kOutputs] = {low.row[0],  low.row[1],  low.row[2],  low.row[3],
                                        high.row[0], high.row[1], high.row[2], high.row[3]};
    LIMBECK_UNROLL
    for (int s = 0; s < kOutputs; ++s) {
      LIMBECK_UNROLL
      for (int k = 0; k < kOutputs; ++k)
        sum.row[k] = math::fma(x.row[s], window[kOutputs + k - s], sum.row[k]);
    }
    high = low;
  }
  return sum;
}

/// z = a * b, or a's correlation with b, of four rows per block: K*K multiplications per row, out
/// of 48 K bytes of shared memory.
template <class Z>
LIMBECK_KERNEL convolve_kernel(Z* z, const float* a, const float* b, Convolution c) {
  LIMBECK_DYNAMIC_SHARED(float, shared);
  const int thread = static_cast<int>(threadIdx.x);
  const std::int64_t first = gpu::first_row();
  const int rows = static_cast<int>(c.rows - first < kFour ? c.rows - first : kFour);
  float* twice = shared + kFour * c.padded;
  for (int i = thread; i < rows * c.padded; i += kConvolveThreads) {
    const int r = i / c.padded, k = i % c.padded;
    shared[i] = k < c.K ? a[(first + r) * c.K + k] : 0.0f;
  }
  for (int i = thread; i < rows * 2 * c.padded; i += kConvolveThreads) {
    const int r = i / (2 * c.padded), j = i % (2 * c.padded) - c.padded;
    const int k = ((c.reversed ? -j : j) + 4 * c.K) % c.K;
    twice[i] = b[(first + r) * c.K + k];
  }
  gpu::sync_block();
  const int groups = c.padded / kOutputs;
  for (int i = thread; i < rows * groups; i += kConvolveThreads) {
    const int r = i / groups, k = i % groups * kOutputs;
    const Four sum = chains(shared + r * c.padded, twice + (2 * r + 1) * c.padded + k, c.padded);
    LIMBECK_UNROLL
    for (int j = 0; j < kOutputs; ++j)
      if (k + j < c.K) z[(first + r) * c.K + k + j] = Z(sum.row[j]);
  }
}

/// dx = sqrt(gamma) times the sum of the transposed sketches. A block takes four rows; reads
/// kDegree*N*K floats out of cache, writes N*D elements.
template <int kDegree, class T>
LIMBECK_KERNEL tensor_sketch_gather_kernel(gpu::FourRows<T> dx, CodePointers grad,
                                           Factors factors) {
  LIMBECK_DYNAMIC_SHARED(Four, code);
  const int K = factors.tables[0].K, slots = (K + 7) / 8 * 8;
  dx.first = gpu::first_row();
  LIMBECK_UNROLL
  for (int j = 0; j < kDegree; ++j) {
    gpu::FourRows<const float> rows{grad.code[j], dx.rows, K, K % 4 == 0, dx.first};
    gpu::load_four(code + j * slots, rows, 0, K);
  }
  gpu::sync_block();
  gpu::store_four(dx, [&](int d) {
    Four sum = {};
    LIMBECK_UNROLL
    for (int j = 0; j < kDegree; ++j)
      gpu::add_from_bucket(sum, code + j * slots, factors.tables[j].target[d], factors.root_gamma);
    return sum;
  });
}

Factors factors_of(const TensorSketchPlan& plan) {
  Factors factors{};
  for (std::size_t j = 0; j < plan.factors.size(); ++j)
    factors.tables[j] = gpu::sketch_tables(plan.factors[j]);
  factors.root_gamma = static_cast<float>(std::sqrt(plan.gamma));
  factors.root_c = static_cast<float>(std::sqrt(plan.c));
  return factors;
}

struct Codes {
  Tensor code[kMaxDegree];
  CodePointers pointers() {
    CodePointers p{};
    for (int j = 0; j < kMaxDegree; ++j)
      if (code[j].defined()) p.code[j] = code[j].data<float>();
    return p;
  }
};

Codes sketch_all(const Tensor& x, const TensorSketchPlan& plan) {
  const std::int64_t N = x.dim(0), K = plan.factors[0].K;
  Codes codes;
  for (std::size_t j = 0; j < plan.factors.size(); ++j)
    codes.code[j] = Tensor::empty({N, K}, DType::f32, x.device());
  const dim3 grid(gpu::blocks_for(N, kFour), gpu::blocks_for(K, kGroup));
  gpu::visit_gpu_floating("tensor_sketch", x.dtype(), [&]<class T>(TypeTag<T>) {
    const auto kernel = plan.factors.size() == 1   ? tensor_sketch_codes_kernel<1, T>
                        : plan.factors.size() == 2 ? tensor_sketch_codes_kernel<2, T>
                                                   : tensor_sketch_codes_kernel<3, T>;
    gpu::launch({"tensor_sketch_codes", grid, kFourThreads}, kernel, codes.pointers(),
                gpu::four_rows<const T>(x), factors_of(plan));
  });
  return codes;
}

/// Of (N,K) tensors: z of any dtype, a and b f32.
void convolve(Tensor& z, const Tensor& a, const Tensor& b, bool reversed) {
  const std::int64_t K = z.dim(1), padded = (K + kOutputs - 1) / kOutputs * kOutputs;
  const Convolution c{z.dim(0), static_cast<int>(K), static_cast<int>(padded), reversed};
  const std::size_t bytes = static_cast<std::size_t>(kFour * padded) * 3 * sizeof(float);
  gpu::visit_gpu_floating("tensor_sketch", z.dtype(), [&]<class Z>(TypeTag<Z>) {
    gpu::launch({"convolve", gpu::blocks_for(z.dim(0), kFour), kConvolveThreads, bytes},
                convolve_kernel<Z>, z.data<Z>(), a.data<float>(), b.data<float>(), c);
  });
}

Tensor convolved(const Tensor& a, const Tensor& b, bool reversed) {
  Tensor z = Tensor::empty(b.shape(), DType::f32, b.device());
  convolve(z, a, b, reversed);
  return z;
}

}  // namespace

void tensor_sketch_forward(Tensor& y, const Tensor& x, const TensorSketchPlan& plan) {
  if (y.numel() == 0) return;
  Codes codes = sketch_all(x, plan);
  Tensor product = codes.code[0];
  const std::size_t degree = plan.factors.size();
  if (degree == 1) return y.copy_from(product.to(y.dtype()));
  for (std::size_t j = 1; j + 1 < degree; ++j) product = convolved(product, codes.code[j], false);
  convolve(y, product, codes.code[degree - 1], false);
}

void tensor_sketch_backward(Tensor& dx, const Tensor& dy, const Tensor& x,
                            const TensorSketchPlan& plan) {
  if (dx.numel() == 0) return;
  const int degree = static_cast<int>(plan.factors.size());
  Codes grad;
  grad.code[0] = dy.to(DType::f32);
  if (degree > 1) {
    Codes codes = sketch_all(x, plan);
    Tensor product[kMaxDegree] = {codes.code[0]}, dproduct = grad.code[0];
    for (int j = 1; j + 1 < degree; ++j)
      product[j] = convolved(product[j - 1], codes.code[j], false);
    for (int j = degree - 1; j > 0; --j) {
      grad.code[j] = convolved(dproduct, product[j - 1], true);
      dproduct = convolved(dproduct, codes.code[j], true);
    }
    grad.code[0] = dproduct;
  }
  const std::size_t bytes =
      degree * static_cast<std::size_t>(gpu::four_slots(dy.dim(1))) * sizeof(Four);
  gpu::visit_gpu_floating("tensor_sketch", dx.dtype(), [&]<class T>(TypeTag<T>) {
    const auto kernel = degree == 1   ? tensor_sketch_gather_kernel<1, T>
                        : degree == 2 ? tensor_sketch_gather_kernel<2, T>
                                      : tensor_sketch_gather_kernel<3, T>;
    gpu::launch({"tensor_sketch_gather", gpu::blocks_for(dx.dim(0), kFour), kFourThreads, bytes},
                kernel, gpu::four_rows<T>(dx), grad.pointers(), factors_of(plan));
  });
}

}  // namespace limbeck::cuda
