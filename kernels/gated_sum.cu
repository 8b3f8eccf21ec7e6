// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/gated_sum.h>

#include <limbeck/core/math.h>
#include <limbeck/kernels/gpu_types.cuh>
#include <limbeck/kernels/warp.cuh>

namespace limbeck::cuda {
namespace {

constexpr int kThreads = 128;

template <class T>
struct Gradients {
  T* peers[kMaxPeers];  // null where not wanted
  T* gates;             // or null
};

/// One thread per element; reads K*N*V and writes N*V.
template <class T>
LIMBECK_KERNEL gated_sum_forward_kernel(T* y, const T* gates, Peers<T> peers, std::int64_t n,
                                        std::int64_t V) {
  const std::int64_t at = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (at >= n) return;
  const T* gate = gates + at / V * peers.count;
  float sum = 0;
  for (int i = 0; i < peers.count; ++i)
    sum = math::fma(static_cast<float>(gate[i]), static_cast<float>(peers.at[i][at]), sum);
  y[at] = T(sum);
}

/// One block per row; reads (K+1)*N*V and writes K*N*V.
template <class T>
LIMBECK_KERNEL gated_sum_backward_kernel(Gradients<T> out, const T* dy, const T* gates,
                                         Peers<T> peers, int V) {
  const std::int64_t row = std::int64_t{blockIdx.x} * V;
  float dot[kMaxPeers] = {};
  for (int v = static_cast<int>(threadIdx.x); v < V; v += kThreads) {
    const float d = static_cast<float>(dy[row + v]);
    for (int i = 0; i < peers.count; ++i) {
      dot[i] = math::fma(d, static_cast<float>(peers.at[i][row + v]), dot[i]);
      const float gate = static_cast<float>(gates[blockIdx.x * peers.count + i]);
      if (out.peers[i]) out.peers[i][row + v] = T(gate * d);
    }
  }
  if (!out.gates) return;  // in all threads
  gpu::block_reduce<kThreads>(dot, gpu::Sum{});
  const int i = static_cast<int>(threadIdx.x);
  if (i < peers.count) out.gates[blockIdx.x * peers.count + i] = T(dot[i]);
}

}  // namespace

void gated_sum_forward(Tensor& y, const Tensor& gates, const std::vector<Tensor>& peers) {
  const std::int64_t n = y.numel();
  if (n == 0) return;
  gpu::visit_gpu_floating("gated_sum", y.dtype(), [&]<class T>(TypeTag<T>) {
    gpu::launch({"gated_sum_forward", gpu::blocks_for(n, kThreads), kThreads},
                gated_sum_forward_kernel<T>, y.data<T>(), gates.data<T>(), peers_of<T>(peers), n,
                y.dim(1));
  });
}

void gated_sum_backward(Tensor& dgates, std::vector<Tensor>& dpeers, const Tensor& dy,
                        const Tensor& gates, const std::vector<Tensor>& peers) {
  if (dy.numel() == 0) return;
  gpu::visit_gpu_floating("gated_sum", dy.dtype(), [&]<class T>(TypeTag<T>) {
    Gradients<T> out{};
    if (dgates.defined()) out.gates = dgates.data<T>();
    for (std::size_t i = 0; i < dpeers.size(); ++i)
      if (dpeers[i].defined()) out.peers[i] = dpeers[i].data<T>();
    gpu::launch({"gated_sum_backward", static_cast<unsigned>(dy.dim(0)), kThreads},
                gated_sum_backward_kernel<T>, out, dy.data<T>(), gates.data<T>(),
                peers_of<T>(peers), static_cast<int>(dy.dim(1)));
  });
}

}  // namespace limbeck::cuda
