// SPDX-License-Identifier: Apache-2.0
// A sum of matrices whose weights differ from row to row: the output of a gate.
#pragma once

#include <vector>

#include <limbeck/core/tensor.h>
#include <limbeck/kernels/peers.h>

namespace limbeck {

/// y_nv = sum_i gates_ni peers_i,nv, one fma chain over i in f32 (f64 for f64): gates (N,K), each
/// of the K <= kMaxPeers peers (N,V), one floating dtype. Written; y is none of them.
void gated_sum_forward(Tensor& y, const Tensor& gates, const std::vector<Tensor>& peers);
/// dgates_ni = sum_v dy_nv peers_i,nv and dpeers_i = gates_ni dy_nv, both written. dgates or one of
/// dpeers may be undefined, when not wanted. On the CPU a sum is one of 16 chains over v, then of
/// these in their order.
void gated_sum_backward(Tensor& dgates, std::vector<Tensor>& dpeers, const Tensor& dy,
                        const Tensor& gates, const std::vector<Tensor>& peers);

namespace cpu {
void gated_sum_forward(Tensor& y, const Tensor& gates, const std::vector<Tensor>& peers);
void gated_sum_backward(Tensor& dgates, std::vector<Tensor>& dpeers, const Tensor& dy,
                        const Tensor& gates, const std::vector<Tensor>& peers);
}  // namespace cpu
namespace cuda {
void gated_sum_forward(Tensor& y, const Tensor& gates, const std::vector<Tensor>& peers);
void gated_sum_backward(Tensor& dgates, std::vector<Tensor>& dpeers, const Tensor& dy,
                        const Tensor& gates, const std::vector<Tensor>& peers);
}  // namespace cuda

}  // namespace limbeck
