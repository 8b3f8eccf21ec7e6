// SPDX-License-Identifier: Apache-2.0
// Optimisers over the parameters of a model.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include <limbeck/nn/module.h>

namespace limbeck {

using NamedTensors = std::vector<std::pair<std::string, Tensor>>;

/// Updates parameters from the gradients backward() left in them. A parameter without a gradient is
/// left alone.
class Optimizer {
 public:
  virtual ~Optimizer() = default;
  virtual void step(double lr) = 0;
  void zero_grad();
  std::int64_t steps() const { return steps_; }

  /// Everything a resumed run needs: "step" (i64) and per parameter "<name>.<slot>". The tensors
  /// share memory with the optimiser's own, except "step".
  NamedTensors state() const;
  /// Copies a state() of an optimiser of this kind and model; any device. Throws
  /// std::invalid_argument naming every tensor that is missing, unexpected or of another dtype or
  /// shape, and then changes nothing.
  void load_state(const NamedTensors& state);

 protected:
  /// `slots` names the buffers kept per parameter; they start at zero.
  Optimizer(std::vector<NamedParameter> parameters, std::vector<std::string> slots);
  Tensor slot(std::size_t parameter, std::size_t i) const {
    return buffers_[parameter * slots_.size() + i];
  }

  std::vector<NamedParameter> parameters_;
  std::int64_t steps_ = 0;

 private:
  std::vector<std::string> slots_;
  std::vector<Tensor> buffers_;
};

struct SgdConfig {
  double momentum = 0;
  bool nesterov = false;
  double weight_decay = 0;
  bool decay_biases = true;  ///< false: weight decay spares parameters with decay = false
};

/// sgd_step (kernels/sgd.h) over all parameters.
class Sgd : public Optimizer {
 public:
  Sgd(std::vector<NamedParameter> parameters, const SgdConfig& config);
  void step(double lr) override;

 private:
  SgdConfig config_;
};

struct AdamwConfig {
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0.01;
  bool decay_biases = true;
};

/// adamw_step (kernels/adamw.h) over all parameters.
class Adamw : public Optimizer {
 public:
  Adamw(std::vector<NamedParameter> parameters, const AdamwConfig& config);
  void step(double lr) override;

 private:
  AdamwConfig config_;
};

}  // namespace limbeck
