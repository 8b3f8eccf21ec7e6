// SPDX-License-Identifier: Apache-2.0
// Where training takes its batches from, whatever the data is and wherever it lies.
#pragma once

#include <cstdint>
#include <vector>

#include <limbeck/core/step_number.h>
#include <limbeck/core/tensor.h>

namespace limbeck {

/// One batch of B samples, on the device of its source. Row b of every tensor is sample b's, so
/// that a micro-batch is rows of a batch.
struct Batch {
  Tensor x;            ///< what a model reads: (B,H,W,C) f32 images, (B,T) i32 tokens
  Tensor labels;       ///< i32 (B), or (B,T) where every step has a label; kIgnoreIndex counts not
  Tensor samples;      ///< (B) i32, which samples of the source these are
  Tensor lengths;      ///< (B) i32, valid steps of each sequence; undefined: all of them
  double targets = 0;  ///< labels that count: what the loss is a mean over
  /// Images that are mixtures of two (kernels/mix_images.h): label_weight of `labels` and the rest
  /// of `other_labels`. Undefined: they are not.
  Tensor other_labels;
  double label_weight = 1;
};

/// A set of samples, seen epoch after epoch. Teacher and student read one and the same Batch::x, so
/// they have the same view of a sample by construction.
class BatchSource {
 public:
  virtual ~BatchSource() = default;
  /// Samples, numbered from 0; fewer than 2^31.
  virtual std::int64_t size() const = 0;
  /// Classes that labels name, or the vocabulary.
  virtual std::int64_t classes() const = 0;
  /// Where batches lie.
  virtual Device device() const = 0;
  /// Whether a sample may look different from step to step, so that nothing can be computed of it
  /// beforehand.
  virtual bool augments() const = 0;
  /// Says which samples come, in their order, until the next call. Sources that read ahead begin
  /// with the first fetch.
  virtual void begin_epoch(std::vector<std::int32_t> order, std::uint32_t epoch) = 0;
  /// The samples at places [first, last) of the order, as optimiser step `step` sees them: a
  /// function of the order, these numbers and the source's seed alone, not of threads or of what
  /// was fetched before.
  virtual Batch fetch(std::int64_t first, std::int64_t last, std::uint32_t step) = 0;

  /// Whether gather() makes what fetch() does. Then all that the host knows of a batch is a
  /// function of the number of its samples.
  virtual bool gathers() const { return false; }
  /// The samples whose numbers (B) i32 lie on the device, as `step` sees them: work that is only
  /// queued, for a graph that is launched with other samples and steps. Throws std::logic_error
  /// where gathers() is false.
  virtual Batch gather(const Tensor& samples, const StepNumber& step);
};

/// Samples of your own and their labels, all of which count; `samples` are numbered from 0.
Batch batch_of(Tensor x, Tensor labels);

/// Rows [first, last) of a batch; its `targets` stay the whole batch's, so that the losses of its
/// parts add up to its own.
Batch part_of(const Batch& batch, std::int64_t first, std::int64_t last);

}  // namespace limbeck
