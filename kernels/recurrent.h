// SPDX-License-Identifier: Apache-2.0
// The recurrence of one layer in one direction: plain RNN, LSTM (Hochreiter and Schmidhuber 1997,
// with the forget gate of Gers et al. 2000) and GRU (Cho et al. 2014), with PyTorch's equations and
// order of gates. Own kernels on both devices: a library's recurrent layer has its own weight
// format and no promise of equal bits. On a GPU every step is one matrix product and one kernel.
#pragma once

#include <limbeck/core/tensor.h>

namespace limbeck {

/// With u = h W_hh^T + b_hh, p = x W_ih^T + b_ih and s = sigmoid; h, c before, h', c' after a step:
/// tanh, relu: h' = act(p + u).
/// lstm: i = s(p_i + u_i), f = s(p_f + u_f), g = tanh(p_g + u_g), o = s(p_o + u_o); c' = f c + i g,
/// h' = o tanh(c').
/// gru: r = s(p_r + u_r), z = s(p_z + u_z), n = tanh(p_n + r u_n); h' = (1 - z) n + z h.
enum class RecurrentCell { tanh, relu, lstm, gru };

/// Blocks of H rows that the weights have, one per gate in the order above: 1, 1, 4, 3.
std::int64_t recurrent_gates(RecurrentCell cell);

struct RecurrentOptions {
  RecurrentCell cell = RecurrentCell::tanh;
  bool reverse = false;           ///< from the last step to the first
  std::int64_t first_column = 0;  ///< of y and dy, which may hold the outputs of both directions
};

/// G is recurrent_gates(cell). One floating dtype, but for lengths.
struct RecurrentInputs {
  Tensor p;        ///< (N,T,G*H): x W_ih^T + b_ih of all steps
  Tensor w_hh;     ///< (G*H,H)
  Tensor b_hh;     ///< (G*H) or undefined
  Tensor h0, c0;   ///< (N,H) or undefined: zeros; c0 of an lstm only
  Tensor lengths;  ///< (N) i32 or undefined: a step t >= lengths[n] gives 0 and keeps the state
};

/// What the forward pass leaves for the backward one.
struct RecurrentSaved {
  Tensor states;  ///< (N,T,H): h before each step
  Tensor cells;   ///< (N,T,H), f32 for 16-bit dtypes: c before each step; undefined if not lstm
  Tensor gates;   ///< (N,T,S*H): lstm i f g o, gru r z n u_n, else h'
};
/// Room for it.
RecurrentSaved empty_recurrent_saved(const Tensor& p, RecurrentCell cell);

/// y (N,T,Y): columns [first_column, first_column + H) are written with h' of each step; h_n (N,H),
/// c_n (N,H, undefined if not lstm): the last states, written; saved: written, or null. Sums and c
/// are kept in f32 (f64 for f64), h is rounded to the dtype after each step. On the CPU each sum is
/// one FMA chain from b_hh over k = 0..H-1. Nothing may alias. Throws std::invalid_argument on
/// other shapes, dtypes or devices.
void recurrent_forward(Tensor& y, Tensor& h_n, Tensor& c_n, RecurrentSaved* saved,
                       const RecurrentInputs& in, const RecurrentOptions& options);

/// Gradients of sum(y dy), all written. W_hh's is du^T states over all steps, b_hh's the sum of du.
struct RecurrentGradients {
  Tensor dp;        ///< (N,T,G*H)
  Tensor du;        ///< (N,T,G*H), may be dp itself unless gru
  Tensor dh0, dc0;  ///< (N,H); dc0 undefined if not lstm
};
void recurrent_backward(RecurrentGradients& grads, const Tensor& dy, const RecurrentSaved& saved,
                        const Tensor& w_hh, const Tensor& lengths, const RecurrentOptions& options);

namespace cpu {
void recurrent_forward(Tensor& y, Tensor& h_n, Tensor& c_n, RecurrentSaved* saved,
                       const RecurrentInputs& in, const RecurrentOptions& options);
void recurrent_backward(RecurrentGradients& grads, const Tensor& dy, const RecurrentSaved& saved,
                        const Tensor& w_hh, const Tensor& lengths, const RecurrentOptions& options);
}  // namespace cpu
namespace cuda {
void recurrent_forward(Tensor& y, Tensor& h_n, Tensor& c_n, RecurrentSaved* saved,
                       const RecurrentInputs& in, const RecurrentOptions& options);
void recurrent_backward(RecurrentGradients& grads, const Tensor& dy, const RecurrentSaved& saved,
                        const Tensor& w_hh, const Tensor& lengths, const RecurrentOptions& options);
}  // namespace cuda

}  // namespace limbeck
