// SPDX-License-Identifier: Apache-2.0
// Internal: one unit of each recurrent cell for one step, forward and backward, on either device.
// A cell has kGates gates and saves kSaved numbers for backward; step() takes p, u of its gates and
// the states before, back() the gradients of the states after.
#pragma once

#include <limbeck/kernels/activation_functions.h>
#include <limbeck/kernels/recurrent.h>

namespace limbeck {

/// States after a step.
template <class F>
struct CellStates {
  F h, c;
};

// h' = act(p + u):  dp = du = dh act'(h').
template <class Act>
struct PlainCell {
  static constexpr int kGates = 1, kSaved = 1;
  static constexpr bool kHasMemory = false, kSplits = false;

  template <class F>
  static LIMBECK_HD CellStates<F> step(F (&saved)[1], const F (&p)[1], const F (&u)[1], F, F) {
    saved[0] = Act{}(p[0] + u[0]);
    return {saved[0], F(0)};
  }
  /// Returns the gradients of the states before, but for what goes by way of u.
  template <class F>
  static LIMBECK_HD CellStates<F> back(F (&dp)[1], F (&du)[1], F dh, F, const F (&saved)[1], F, F) {
    dp[0] = du[0] = Act{}(dh, saved[0]);
    return {F(0), F(0)};
  }
};

// c' = f c + i g, h' = o tanh(c'):  dc' += dh' o (1 - tanh^2),  dc = dc' f,  and with the gates'
// derivatives s' = s (1 - s), tanh' = 1 - tanh^2:  i: dc' g,  f: dc' c,  g: dc' i,  o: dh'
// tanh(c').
struct LstmCell {
  static constexpr int kGates = 4, kSaved = 4;
  static constexpr bool kHasMemory = true, kSplits = false;

  template <class F>
  static LIMBECK_HD CellStates<F> step(F (&saved)[4], const F (&p)[4], const F (&u)[4], F, F c) {
    const F i = Sigmoid{}(p[0] + u[0]), f = Sigmoid{}(p[1] + u[1]);
    const F g = math::tanh(p[2] + u[2]), o = Sigmoid{}(p[3] + u[3]);
    saved[0] = i, saved[1] = f, saved[2] = g, saved[3] = o;
    const F next = math::fma(f, c, i * g);
    return {o * math::tanh(next), next};
  }
  template <class F>
  static LIMBECK_HD CellStates<F> back(F (&dp)[4], F (&du)[4], F dh, F dc, const F (&saved)[4], F,
                                       F c) {
    const F i = saved[0], f = saved[1], g = saved[2], o = saved[3];
    const F tanh_c = math::tanh(math::fma(f, c, i * g));
    const F d = dc + Tanh{}(dh * o, tanh_c);
    dp[0] = du[0] = Sigmoid{}(d * g, i);
    dp[1] = du[1] = Sigmoid{}(d * c, f);
    dp[2] = du[2] = Tanh{}(d * i, g);
    dp[3] = du[3] = Sigmoid{}(dh * tanh_c, o);
    return {F(0), d * f};
  }
};

// h' = n + z (h - n), n = tanh(a), a = p_n + r u_n:  dz = dh' (h - n),  da = dh' (1 - z) tanh',
// dr = da u_n,  du_n = da r,  dh = dh' z.
struct GruCell {
  static constexpr int kGates = 3, kSaved = 4;
  static constexpr bool kHasMemory = false, kSplits = true;  // dp and du differ

  template <class F>
  static LIMBECK_HD CellStates<F> step(F (&saved)[4], const F (&p)[3], const F (&u)[3], F h, F) {
    const F r = Sigmoid{}(p[0] + u[0]), z = Sigmoid{}(p[1] + u[1]);
    const F n = math::tanh(math::fma(r, u[2], p[2]));
    saved[0] = r, saved[1] = z, saved[2] = n, saved[3] = u[2];
    return {math::fma(z, h - n, n), F(0)};
  }
  template <class F>
  static LIMBECK_HD CellStates<F> back(F (&dp)[3], F (&du)[3], F dh, F, const F (&saved)[4], F h,
                                       F) {
    const F r = saved[0], z = saved[1], n = saved[2];
    const F da = Tanh{}(dh * (F(1) - z), n);
    dp[0] = du[0] = Sigmoid{}(da * saved[3], r);
    dp[1] = du[1] = Sigmoid{}(dh * (h - n), z);
    dp[2] = da;
    du[2] = da * r;
    return {dh * z, F(0)};
  }
};

/// Calls fn(Cell{}).
template <class Fn>
void visit_cell(RecurrentCell cell, Fn&& fn) {
  switch (cell) {
    case RecurrentCell::tanh:
      return fn(PlainCell<Tanh>{});
    case RecurrentCell::relu:
      return fn(PlainCell<Relu>{});
    case RecurrentCell::lstm:
      return fn(LstmCell{});
    case RecurrentCell::gru:
      return fn(GruCell{});
  }
}

}  // namespace limbeck
