// SPDX-License-Identifier: Apache-2.0
// Recurrent layers: RNN, LSTM and GRU, stacked and in both directions.
#pragma once

#include <limbeck/kernels/recurrent.h>
#include <limbeck/nn/dropout.h>
#include <limbeck/nn/module.h>

namespace limbeck {

struct RecurrentLayerOptions {
  std::int64_t layers = 1;  ///< each reads the outputs of the one before
  bool bias = true;
  bool bidirectional = false;
  double dropout = 0;  ///< of the outputs of all layers but the last, in training
};

/// Where sequences begin, (N,H) for each layer and in it each direction; empty: zeros. c is an
/// LSTM's.
struct InitialStates {
  std::vector<Variable> h = {}, c = {};
};

struct RecurrentOutput {
  Variable y;                    ///< (N,T,directions*H)
  std::vector<Tensor> h_n, c_n;  ///< last states in the order of InitialStates, without a gradient
};

/// x (N,T,I) to the last layer's h of every step, y (N,T,directions*H), by the equations of
/// kernels/recurrent.h. Context::lengths gives each sequence's valid steps: later ones have output
/// 0, and the reverse direction begins before them, as with PyTorch's packed sequences.
/// Parameters, with k the layer: "weight_ih_l<k>" (G*H,I), "weight_hh_l<k>" (G*H,H), "bias_ih_l<k>"
/// and "bias_hh_l<k>" (G*H), those of the reverse direction ending in "_reverse"; zero until
/// initialised.
class RecurrentLayers : public Module {
 public:
  RecurrentLayers(RecurrentCell cell, std::int64_t in, std::int64_t hidden,
                  const RecurrentLayerOptions& options, DType dtype, Device device);

  Variable forward(const Variable& x, Context& context) override;
  RecurrentOutput forward_from(const InitialStates& initial, const Variable& x, Context& context);
  Shape output_shape(const Shape& input) const override;
  std::vector<NamedParameter> parameters() override;
  std::string describe() const override;

 private:
  struct Weights {
    Variable w_ih, w_hh, b_ih, b_hh;
  };

  RecurrentCell cell_;
  std::int64_t in_, hidden_;
  RecurrentLayerOptions options_;
  Dropout dropout_;
  std::vector<Weights> weights_;  // of each layer and in it each direction
};

/// h' = tanh(W_ih x + b_ih + W_hh h + b_hh), or relu.
class RNN : public RecurrentLayers {
 public:
  RNN(std::int64_t in, std::int64_t hidden, const RecurrentLayerOptions& options = {},
      bool relu = false, DType dtype = DType::f32, Device device = Device::cpu())
      : RecurrentLayers(relu ? RecurrentCell::relu : RecurrentCell::tanh, in, hidden, options,
                        dtype, device) {}
};

class LSTM : public RecurrentLayers {
 public:
  LSTM(std::int64_t in, std::int64_t hidden, const RecurrentLayerOptions& options = {},
       DType dtype = DType::f32, Device device = Device::cpu())
      : RecurrentLayers(RecurrentCell::lstm, in, hidden, options, dtype, device) {}
};

class GRU : public RecurrentLayers {
 public:
  GRU(std::int64_t in, std::int64_t hidden, const RecurrentLayerOptions& options = {},
      DType dtype = DType::f32, Device device = Device::cpu())
      : RecurrentLayers(RecurrentCell::gru, in, hidden, options, dtype, device) {}
};

}  // namespace limbeck
