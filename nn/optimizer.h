// SPDX-License-Identifier: Apache-2.0
// Optimisers over the parameters of a model.
#pragma once

#include <limits>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <limbeck/core/step_number.h>
#include <limbeck/kernels/grad_scale.h>
#include <limbeck/nn/module.h>
#include <limbeck/nn/named_tensors.h>

namespace limbeck {

/// Settings of the parameters whose whole name matches; of several groups the first that does.
struct ParameterGroup {
  std::string match;                        ///< regular expression (ECMAScript)
  double lr_scale = 1;                      ///< >= 0; its learning rate over the common one
  std::optional<double> weight_decay = {};  ///< in place of the common one, biases or not
};

/// Dynamic loss scaling, for gradients in f16.
struct LossScaling {
  double initial = 65536;
  LossScaleOptions change = {};
};

/// What happens to the gradients before a step (kernels/grad_scale.h).
struct GradientConfig {
  double max_norm = std::numeric_limits<double>::infinity();  ///< clips their global norm
  std::optional<LossScaling> loss_scaling = {};
};

/// What every optimiser knows of its parameters.
struct ParameterConfig {
  double weight_decay = 0;
  bool decay_biases = true;  ///< false: weight decay spares parameters with decay = false
  std::vector<ParameterGroup> groups = {};
  GradientConfig gradients = {};
};

/// Updates parameters from the gradients backward() left in them. A parameter without a gradient is
/// left alone. Of parameters in bf16 or f16 a master copy in f32 is kept, from which they are
/// rounded at each step; so give them their values first. With clipping or loss scaling a step
/// whose gradients are not finite changes nothing but the loss scale; it counts as a step.
class Optimizer {
 public:
  virtual ~Optimizer() = default;
  /// The update number steps() + 1 at the learning rate `lr`: update(numbers(lr, steps() + 1)),
  /// counted.
  void step(double lr);
  /// What changes from update to update, of number `number` from 1: the learning rate comes first.
  virtual std::vector<double> numbers(double lr, std::int64_t number) const = 0;
  /// The update by such numbers, known now or read where it runs, as in a captured graph: whoever
  /// launches that counts its updates.
  virtual void update(std::span<const StepNumber> numbers) = 0;
  void count_step() { ++steps_; }
  void zero_grad();
  std::int64_t steps() const { return steps_; }
  /// The parameters'; f32 without parameters.
  DType dtype() const;

  /// (1) f32 on the parameters' device: what the loss is to be multiplied by, as
  /// loss.backward(loss_scale()); undefined without loss scaling.
  Tensor loss_scale() const { return loss_scale_; }
  /// (1) on the parameters' device: the gradients' global norm at the last step, before clipping;
  /// undefined without clipping and loss scaling.
  Tensor gradient_norm() const { return norm_; }

  /// Everything a resumed run needs: "step" (i64), per parameter "<name>.<slot>" and, in bf16 and
  /// f16, "<name>.master"; with loss scaling "loss_scale" and "loss_scale_streak". The tensors
  /// share memory with the optimiser's own, except "step".
  NamedTensors state() const;
  /// Copies a state() of an optimiser of this kind and model; any device. Throws
  /// std::invalid_argument naming every tensor that is missing, unexpected or of another dtype or
  /// shape, and then changes nothing.
  void load_state(const NamedTensors& state);

 protected:
  /// `slots` names the buffers kept per parameter, in f32 (f64); they start at zero. Throws
  /// std::invalid_argument for a group that is malformed or matches nothing.
  Optimizer(std::vector<NamedParameter> parameters, std::vector<std::string> slots,
            const ParameterConfig& config);
  /// For each parameter that has a gradient: Param with its common fields, completed by
  /// fill(param, i), whose slot(i, k) are its buffers.
  template <class Param, class Fill>
  std::vector<Param> gather_params(Fill fill);
  const Tensor& slot(std::size_t parameter, std::size_t i) const {
    return buffers_[parameter * slots_.size() + i];
  }
  /// The grad_scale of the coming step; undefined: 1.
  Tensor scale_gradients();

  std::vector<NamedParameter> parameters_;
  std::int64_t steps_ = 0;

 private:
  struct Settings {
    double lr_scale, weight_decay;
  };
  void apply_groups(const ParameterConfig& config);
  void prepare_scaling();

  std::vector<std::string> slots_;
  std::vector<Tensor> buffers_;
  std::vector<Tensor> masters_;  ///< undefined for f32 and f64
  std::vector<Settings> settings_;
  GradientConfig gradients_;
  Tensor factor_, norm_, loss_scale_, streak_;
};

struct SgdConfig {
  double momentum = 0;
  bool nesterov = false;
  ParameterConfig parameters = {};
};

/// sgd_step (kernels/sgd.h) over all parameters.
class Sgd : public Optimizer {
 public:
  Sgd(std::vector<NamedParameter> parameters, const SgdConfig& config);
  std::vector<double> numbers(double lr, std::int64_t number) const override;
  void update(std::span<const StepNumber> numbers) override;

 private:
  SgdConfig config_;
};

struct AdamwConfig {
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  ParameterConfig parameters = {.weight_decay = 0.01};
};

/// adamw_step (kernels/adamw.h) over all parameters.
class Adamw : public Optimizer {
 public:
  Adamw(std::vector<NamedParameter> parameters, const AdamwConfig& config);
  std::vector<double> numbers(double lr, std::int64_t number) const override;
  void update(std::span<const StepNumber> numbers) override;

 private:
  AdamwConfig config_;
};

}  // namespace limbeck
