// SPDX-License-Identifier: Apache-2.0
// A recurrent layer, in one direction or both, as a differentiable op.
#pragma once

#include <span>
#include <vector>

#include <limbeck/autograd/variable.h>
#include <limbeck/kernels/recurrent.h>

namespace limbeck {

/// As RecurrentInputs; what is optional there may be undefined.
struct RecurrentDirection {
  Variable p;       ///< (N,T,G*H)
  Variable w_hh;    ///< (G*H,H)
  Variable b_hh;    ///< (G*H)
  Variable h0, c0;  ///< (N,H)
};

struct RecurrentResult {
  Variable y;                    ///< (N,T,directions*H)
  std::vector<Tensor> h_n, c_n;  ///< last states (N,H) of each direction, without a gradient
};

/// One direction, or two of which the second runs backwards in time, their outputs side by side.
/// lengths (N) i32 or undefined: later steps give 0 and keep the state.
RecurrentResult recurrent(std::span<const RecurrentDirection> directions, RecurrentCell cell,
                          const Tensor& lengths = {});

}  // namespace limbeck
