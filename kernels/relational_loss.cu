// SPDX-License-Identifier: Apache-2.0
// Roots of all squares, then distances by their means, then triangles, then the loss: each stage
// leaves one number per row for the next one to sum.
#include <limbeck/kernels/relational_loss.h>

#include <limbeck/kernels/optional_data.h>
#include <limbeck/kernels/relational_terms.h>
#include <limbeck/kernels/gpu_types.cuh>
#include <limbeck/kernels/warp.cuh>

namespace limbeck::cuda {
namespace {

constexpr int kWarps = 8;
constexpr int kThreads = kWarps * gpu::kWarp;

/// Numbers kept of each row.
enum RowNumber { kRootsS, kRootsT, kDistanceLoss, kDrift, kAngles, kRowNumbers };

struct Args {
  const double *s, *t;  // (N,N)
  double *u_s, *u_t;    // (N,N): inverse_root of each, or null
  double* slopes;       // (N,N) or null
  double* rows;         // (kRowNumbers,N)
  std::int64_t N;
  RelationalFactors factors;

  LIMBECK_DEVICE double& row(RowNumber k, std::int64_t n) const { return rows[k * N + n]; }

  /// Sums over the rows of two numbers in a row, which all lanes of a warp get: in every warp of
  /// the same bits.
  LIMBECK_DEVICE void total(double (&sums)[2], RowNumber first) const {
    sums[0] = sums[1] = 0;
    for (std::int64_t n = gpu::lane(); n < N; n += gpu::kWarp)
      for (int k = 0; k < 2; ++k) sums[k] += rows[(first + k) * N + n];
    gpu::warp_reduce(sums, gpu::Sum{});
  }
  /// Every pair is counted twice, the diagonal not.
  LIMBECK_DEVICE double count() const {
    return static_cast<double>(N) * static_cast<double>(N - 1);
  }
  LIMBECK_DEVICE RelativeDistances distances() const {
    double roots[2];
    total(roots, kRootsS);
    return {inverse_or_0(roots[0] / count()), inverse_or_0(roots[1] / count()), 0};
  }
};

/// The row of this warp.
LIMBECK_DEVICE std::int64_t warp_row() {
  return static_cast<std::int64_t>(blockIdx.x) * kWarps + gpu::warp();
}

/// A warp per row: reads 2 N^2, writes 2 N^2.
LIMBECK_KERNEL relational_roots_kernel(Args args) {
  const std::int64_t i = warp_row();
  if (i >= args.N) return;
  double sums[2] = {0, 0};
  for (std::int64_t j = i * args.N + gpu::lane(); j < (i + 1) * args.N; j += gpu::kWarp) {
    sums[0] += math::sqrt(args.s[j]);
    sums[1] += math::sqrt(args.t[j]);
    if (!args.u_s) continue;
    args.u_s[j] = inverse_root(args.s[j]);
    args.u_t[j] = inverse_root(args.t[j]);
  }
  gpu::warp_reduce(sums, gpu::Sum{});
  if (gpu::lane() != 0) return;
  args.row(kRootsS, i) = sums[0];
  args.row(kRootsT, i) = sums[1];
}

/// A warp per row: reads 2 N^2.
LIMBECK_KERNEL relational_distances_kernel(Args args) {
  const std::int64_t i = warp_row();
  if (i >= args.N) return;
  const RelativeDistances distances = args.distances();
  double sums[2] = {0, 0};
  for (std::int64_t j = i * args.N + gpu::lane(); j < (i + 1) * args.N; j += gpu::kWarp) {
    const RelativeDistances::Pair pair = distances.at(args.s[j], args.t[j]);
    sums[0] += pair.error.loss;
    sums[1] = math::fma(pair.error.slope, pair.ratio, sums[1]);
  }
  gpu::warp_reduce(sums, gpu::Sum{});
  if (gpu::lane() != 0) return;
  args.row(kDistanceLoss, i) = sums[0];
  args.row(kDrift, i) = sums[1];
}

/// The sums over all r of the triangles of p and q, in every lane.
LIMBECK_DEVICE void sum_triangles(double (&out)[kTriangleSums], const Args& args, std::int64_t p,
                                  std::int64_t q) {
  const auto triangle = [=, N = args.N](const double* a, const double* u, std::int64_t r) {
    return Triangle{
        {a[p * N + r], u[p * N + r]}, {a[q * N + r], u[q * N + r]}, {a[p * N + q], u[p * N + q]}};
  };
  double sums[kTriangleSums][1] = {};
  for (std::int64_t r = gpu::lane(); r < args.N; r += gpu::kWarp) {
    const Triangle s = triangle(args.s, args.u_s, r), t = triangle(args.t, args.u_t, r);
    if (args.slopes)
      add_triangle(sums, 0, s, t);
    else
      add_angle(sums, 0, s, t);
  }
  LIMBECK_UNROLL
  for (int k = 0; k < kTriangleSums; ++k) out[k] = sums[k][0];
  gpu::warp_reduce(out, gpu::Sum{});
}

/// A block per row p, a warp per pair with a later row q, its lanes over r: reads 4 N numbers per
/// pair, mostly from L2, and writes its slope to both places.
LIMBECK_KERNEL relational_pairs_kernel(Args args) {
  LIMBECK_SHARED(double, partial, [kWarps]);
  const std::int64_t N = args.N, p = blockIdx.x;
  RelativeDistances distances{};
  if (args.factors.distance > 0 && args.slopes) {
    distances = args.distances();
    double drift[2];
    args.total(drift, kDistanceLoss);
    distances.drift = drift[1] / args.count();
  }
  double total = 0;
  for (std::int64_t q = p + 1 + gpu::warp(); q < N; q += kWarps) {
    double slope = 0;
    if (args.factors.angle > 0) {
      double sums[kTriangleSums];
      sum_triangles(sums, args, p, q);
      total += sums[kAngleLoss];
      slope = args.factors.angle * triangle_slope(sums, args.u_s[p * N + q]);
    }
    if (!args.slopes || gpu::lane() != 0) continue;
    if (args.factors.distance > 0)
      slope += args.factors.distance * distances.slope(args.s[p * N + q], args.t[p * N + q]);
    args.slopes[p * N + q] = args.slopes[q * N + p] = slope;
  }
  if (gpu::lane() == 0) partial[gpu::warp()] = total;
  gpu::sync_block();
  if (threadIdx.x != 0) return;
  double sum = 0;
  for (int w = 0; w < kWarps; ++w) sum += partial[w];
  args.row(kAngles, p) = sum;
  if (args.slopes) args.slopes[p * N + p] = 0;
}

/// One warp: the loss from the sums of rows.
template <class F>
LIMBECK_KERNEL relational_finish_kernel(F* loss, Args args, double distance_weight) {
  double distance[2] = {0, 0}, angle[1] = {0};
  if (distance_weight > 0) args.total(distance, kDistanceLoss);
  for (std::int64_t n = gpu::lane(); n < args.N; n += gpu::kWarp) angle[0] += args.row(kAngles, n);
  gpu::warp_reduce(angle, gpu::Sum{});
  if (gpu::lane() != 0) return;
  double sum = args.factors.angle * angle[0];
  if (distance_weight > 0) sum += distance_weight * (distance[0] / args.count());
  *loss = static_cast<F>(sum);
}

}  // namespace

void relational_loss_forward_with_grad(Tensor& loss, Tensor& dsquares, const Tensor& receiver,
                                       const Tensor& source, const RelationalOptions& options) {
  const std::int64_t N = receiver.dim(0);
  const RelationalFactors factors(options, N);
  const bool angles = factors.angle > 0, distances = factors.distance > 0;
  Tensor rows = Tensor::empty({kRowNumbers, N}, DType::f64, receiver.device()), inverses;
  if (angles) inverses = Tensor::empty({2, N, N}, DType::f64, receiver.device());
  double* u = angles ? inverses.data<double>() : nullptr;
  const Args args{
      receiver.data<double>(),        source.data<double>(), u, angles ? u + N * N : nullptr,
      data_or_null<double>(dsquares), rows.data<double>(),   N, factors};
  if (N > 0) {
    const unsigned blocks = gpu::blocks_for(N, kWarps);
    gpu::launch({"relational_roots", blocks, kThreads}, relational_roots_kernel, args);
    if (distances)
      gpu::launch({"relational_distances", blocks, kThreads}, relational_distances_kernel, args);
    gpu::launch({"relational_pairs", static_cast<unsigned>(N), kThreads}, relational_pairs_kernel,
                args);
  }
  const double weight = distances ? options.distance_weight : 0;
  if (loss.dtype() == DType::f64)
    gpu::launch({"relational_finish", 1, gpu::kWarp}, relational_finish_kernel<double>,
                loss.data<double>(), args, weight);
  else
    gpu::launch({"relational_finish", 1, gpu::kWarp}, relational_finish_kernel<float>,
                loss.data<float>(), args, weight);
}

}  // namespace limbeck::cuda
