// SPDX-License-Identifier: Apache-2.0
// Module: what a model is made of.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <limbeck/autograd/variable.h>
#include <limbeck/core/philox.h>

namespace limbeck {

/// What batch-norm layers normalise with. follow: in training the batch's statistics, which also
/// move the running ones, otherwise the running ones. running, batch: those in any case, and the
/// running ones stay as they are.
enum class Statistics { follow, running, batch };

/// What a forward pass must know besides its input. Randomness is a function of these fields, so a
/// step can be repeated and a batch split into micro-batches.
struct Context {
  bool training = false;
  std::uint64_t seed = 0;
  std::uint32_t step = 0;
  const double* step_at = nullptr;  ///< where the step is read instead, as RngStream's
  std::int64_t first_row = 0;  ///< index in the whole batch of the first row of this micro-batch
  std::uint32_t random_layer = 0;  ///< counts the layers that draw numbers; starts at 0 each pass
  Statistics statistics = Statistics::follow;
  Tensor lengths = {};  ///< (N) i32, valid steps of each sequence; undefined: all of them

  /// Of the next layer that draws numbers for dropout.
  RngStream next_stream() { return {seed, step, random_layer++, RngPurpose::dropout, step_at}; }
};

/// How a weight is stored in files, which keep PyTorch's layouts. conv_ohwi: OHWI here, OIHW there.
/// linear_hwc: the columns of a linear layer that reads a flattened image run over (H,W,C) here and
/// (C,H,W) there. Everything else is the same.
enum class Layout { plain, conv_ohwi, linear_hwc };

/// What initialize() gives a parameter. drawn: by the recipe asked for, of the fans of a weight
/// (two extents or more) or as a bias (one). ones, zeros and normal (of mean 0, deviation stddev):
/// in any case.
enum class InitKind { drawn, ones, zeros, normal };

struct NamedParameter {
  std::string name;  ///< dotted, as PyTorch names it: "fc1.weight"
  Variable value;
  Layout layout = Layout::plain;
  Shape image = {};   ///< linear_hwc: (H,W,C)
  bool decay = true;  ///< false for biases, which an optimiser may exempt from weight decay
  InitKind init = InitKind::drawn;
  /// Above 0: Init::torch_default counts so many inputs, whatever the shape.
  std::int64_t fan_in = 0;
  double stddev = 1;           ///< normal: its deviation
  std::int64_t zero_row = -1;  ///< normal: a row that is 0 instead, a table's padding
};

/// What belongs to a model and its files but is not trained: a running mean.
struct NamedBuffer {
  std::string name;  ///< dotted, as PyTorch names it: "bn1.running_mean"
  Tensor value;
};

class Module {
 public:
  virtual ~Module() = default;
  virtual Variable forward(const Variable& x, Context& context) = 0;
  /// Shape of one batch's output for a batch of inputs; throws std::invalid_argument naming the
  /// layer, the shape it got and the one it expects.
  virtual Shape output_shape(const Shape& input) const = 0;
  /// In a fixed order, names relative to this module.
  virtual std::vector<NamedParameter> parameters() { return {}; }
  virtual std::vector<NamedBuffer> buffers() { return {}; }
  /// One word for tables: "Linear(784, 10)".
  virtual std::string describe() const = 0;
};

std::int64_t parameter_count(Module& module);

}  // namespace limbeck
