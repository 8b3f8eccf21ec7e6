// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/srht.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>
#include <vector>

#include <limbeck/core/dispatch.h>
#include <limbeck/core/parallel.h>
#include <limbeck/core/philox.h>
#include <limbeck/core/simd.h>
#include <limbeck/kernels/hadamard.h>

namespace limbeck {
namespace {

void check_matrix(const char* op, const char* what, const Tensor& t, std::int64_t columns,
                  const SrhtPlan& plan) {
  LIMBECK_CHECK(t.rank() == 2 && t.dim(1) == columns, op, ": ", what, " has shape ", t.shape(),
                ", the plan takes ", plan.D, " to ", plan.K, " elements; expected (N,", columns,
                ")");
  LIMBECK_CHECK(is_floating(t.dtype()), op, ": ", what, " is ", t.dtype(),
                "; expected a floating dtype");
  LIMBECK_CHECK(t.device() == plan.rows.device(), op, ": ", what, " is on ", t.device(),
                ", the plan on ", plan.rows.device(), "; expected one device");
}

void check_pair(const char* op, const char* out_name, const Tensor& out, std::int64_t out_columns,
                const char* in_name, const Tensor& in, std::int64_t in_columns,
                const SrhtPlan& plan) {
  LIMBECK_CHECK(plan.rows.defined(), op, ": the plan is empty; expected one of make_srht_plan");
  check_matrix(op, in_name, in, in_columns, plan);
  check_matrix(op, out_name, out, out_columns, plan);
  LIMBECK_CHECK(out.dim(0) == in.dim(0) && out.dtype() == in.dtype(), op, ": ", out_name, " is ",
                out.dtype(), out.shape(), ", ", in_name, " ", in.dtype(), in.shape(),
                "; expected equally many rows of one dtype");
}

std::vector<std::int32_t> draw_rows(const RngStream& stream, std::int64_t P, std::int64_t K) {
  std::vector<std::int32_t> rows(static_cast<std::size_t>(P));
  std::iota(rows.begin(), rows.end(), 0);
  for (std::int64_t i = 0; i < K; ++i) {
    const std::uint64_t word = philox_word(stream, static_cast<std::uint64_t>(i));
    const std::int64_t j = i + static_cast<std::int64_t>(word * (P - i) >> 32);
    std::swap(rows[static_cast<std::size_t>(i)], rows[static_cast<std::size_t>(j)]);
  }
  rows.resize(static_cast<std::size_t>(K));
  return rows;
}

}  // namespace

SrhtPlan make_srht_plan(std::uint64_t seed, std::uint32_t layer, std::int64_t D, std::int64_t K,
                        Device device) {
  LIMBECK_CHECK(D >= 1 && D <= kSrhtMaxWidth, "srht: D is ", D, "; expected 1 to ", kSrhtMaxWidth);
  const auto P = static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(D)));
  LIMBECK_CHECK(K >= 1 && K <= P, "srht: K is ", K, ", D ", D, " (padded to ", P,
                "); expected 1 <= K <= ", P);
  std::vector<std::int32_t> signs;
  for (std::uint64_t word = 0; word < static_cast<std::uint64_t>(P + 31) / 32; ++word)
    signs.push_back(
        static_cast<std::int32_t>(philox_word({seed, 0, layer, RngPurpose::srht}, word)));
  const auto words = static_cast<std::int64_t>(signs.size());
  return {D, P, K, Tensor::from(signs, {words}, device),
          Tensor::from(draw_rows({seed, 1, layer, RngPurpose::srht}, P, K), {K}, device)};
}

void srht_forward(Tensor& y, const Tensor& x, const SrhtPlan& plan) {
  check_pair("srht_forward", "y", y, plan.K, "x", x, plan.D, plan);
  LIMBECK_DISPATCH(x.device(), srht_forward(y, x, plan));
}

void srht_backward(Tensor& dx, const Tensor& dy, const SrhtPlan& plan) {
  check_pair("srht_backward", "dx", dx, plan.D, "dy", dy, plan.K, plan);
  LIMBECK_DISPATCH(dy.device(), srht_backward(dx, dy, plan));
}

namespace cpu {
namespace {

constexpr std::int64_t kPiece = 65536;  // elements per task
constexpr std::int64_t kMaxLanes = 16;

// Calls body(first_row, last_row, buffer, signs): memory for one padded row, and P factors.
template <class F, class Body>
void for_each_piece(std::int64_t N, const SrhtPlan& plan, Body body) {
  const std::int32_t* words = plan.signs.data<std::int32_t>();
  const std::int64_t P = plan.P;
  parallel_ranges(N, kPiece / P + 1, [&](std::int64_t begin, std::int64_t end) {
    Tensor scratch = Tensor::empty({2, std::max(P, kMaxLanes)}, dtype_of<F>());
    F *buffer = scratch.data<F>(), *signs = buffer + scratch.dim(1);
    for (std::int64_t d = 0; d < P; ++d)
      signs[d] = (words[d / 32] >> d % 32 & 1) != 0 ? F(-1) : F(1);
    std::fill(buffer, signs, F(0));
    body(begin, end, buffer, signs);
  });
}

template <class F>
F factor(const SrhtPlan& plan) {
  return static_cast<F>(1 / std::sqrt(static_cast<double>(plan.K)));
}

template <class T>
void forward(Tensor& y, const Tensor& x, const SrhtPlan& plan) {
  using F = ComputeType<T>;
  const std::int64_t D = plan.D, P = plan.P, K = plan.K;
  const F scale = factor<F>(plan);
  const std::int32_t* rows = plan.rows.data<std::int32_t>();
  const T* in = x.data<T>();
  T* out = y.data<T>();
  for_each_piece<F>(x.dim(0), plan,
                    [=](std::int64_t begin, std::int64_t end, F* buffer, const F* signs) {
                      simd([=](auto lanes) {
                        constexpr int kWidth = lanes.value * 4 / static_cast<int>(sizeof(F));
                        for (std::int64_t n = begin; n < end; ++n) {
#pragma omp simd
                          for (std::int64_t d = 0; d < D; ++d)
                            buffer[d] = static_cast<F>(in[n * D + d]) * signs[d];
                          for (std::int64_t d = D; d < P; ++d) buffer[d] = 0;
                          hadamard<F, kWidth>(buffer, P);
                          for (std::int64_t k = 0; k < K; ++k)
                            out[n * K + k] = buffer[rows[k]] * scale;
                        }
                      });
                    });
}

template <class T>
void backward(Tensor& dx, const Tensor& dy, const SrhtPlan& plan) {
  using F = ComputeType<T>;
  const std::int64_t D = plan.D, P = plan.P, K = plan.K;
  const F scale = factor<F>(plan);
  const std::int32_t* rows = plan.rows.data<std::int32_t>();
  const T* in = dy.data<T>();
  T* out = dx.data<T>();
  for_each_piece<F>(dy.dim(0), plan,
                    [=](std::int64_t begin, std::int64_t end, F* buffer, const F* signs) {
                      simd([=](auto lanes) {
                        constexpr int kWidth = lanes.value * 4 / static_cast<int>(sizeof(F));
                        for (std::int64_t n = begin; n < end; ++n) {
                          for (std::int64_t d = 0; d < P; ++d) buffer[d] = 0;
                          for (std::int64_t k = 0; k < K; ++k)
                            buffer[rows[k]] = static_cast<F>(in[n * K + k]);
                          hadamard<F, kWidth>(buffer, P);
#pragma omp simd
                          for (std::int64_t d = 0; d < D; ++d)
                            out[n * D + d] = buffer[d] * signs[d] * scale;
                        }
                      });
                    });
}

}  // namespace

void srht_forward(Tensor& y, const Tensor& x, const SrhtPlan& plan) {
  visit_floating(x.dtype(), [&](auto tag) { forward<typename decltype(tag)::type>(y, x, plan); });
}

void srht_backward(Tensor& dx, const Tensor& dy, const SrhtPlan& plan) {
  visit_floating(dy.dtype(),
                 [&](auto tag) { backward<typename decltype(tag)::type>(dx, dy, plan); });
}

}  // namespace cpu
}  // namespace limbeck
