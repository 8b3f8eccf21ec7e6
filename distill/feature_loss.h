// SPDX-License-Identifier: Apache-2.0
// What every technique is: an encoder of the source's layer and a loss of the receiver's.
#pragma once

#include <string>
#include <vector>

#include <limbeck/nn/module.h>

namespace limbeck {

/// Compares a layer of the receiver, the model that learns, with a layer of the source, the model
/// it learns from. The source's tap becomes a code, which nothing trains: an encoder that could be
/// trained on the loss would end in a constant. The receiver's side may own an adapter, whose
/// parameters are trained with the receiver and then dropped. Which of the two models is the bigger
/// one does not matter, so that every mode uses the same object. Built for given taps, dtype (f32;
/// f64 for gradient checks) and device; randomness is a function of its seed alone.
class FeatureLoss {
 public:
  virtual ~FeatureLoss() = default;
  /// The code of one sample; a knowledge cache stores it.
  virtual Shape code_shape() const = 0;
  /// The codes (N, code) of taps (N, source); written without a tape. Throws std::invalid_argument
  /// for a tap of another shape.
  virtual Tensor encode(const Tensor& source) const = 0;
  /// The loss, shape (1), of taps (N, receiver) against codes (N, code): a mean over code
  /// coordinates and over mean_over samples, of which these N are all or, where per_sample(), a
  /// part. The gradient reaches the receiver and the adapter.
  virtual Variable loss(const Variable& receiver, const Tensor& code, double mean_over) = 0;
  /// Whether the loss is a sum over samples, so that a batch may be computed in parts. Losses that
  /// compare samples with each other are not.
  virtual bool per_sample() const { return true; }
  /// The adapter's, in a fixed order.
  virtual std::vector<NamedParameter> parameters() { return {}; }
  /// One line for tables: "compressed_sensing(rademacher 1200 -> 64)".
  virtual std::string describe() const = 0;
};

}  // namespace limbeck
