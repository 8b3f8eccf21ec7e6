// SPDX-License-Identifier: Apache-2.0
// What a frozen model knows of every sample, computed before a run that would ask for it at every
// step.
#pragma once

#include <limbeck/distill/lesson.h>

namespace limbeck {

/// Mean and variance of a layer's channels over the first kCalibrationSamples of a shuffle with
/// seed 0, of a source that does not augment.
inline constexpr std::int64_t kCalibrationSamples = 1000;
TapStatistics calibrate(const Participant& model, BatchSource& data, const std::string& layer,
                        double momentum = 0);

/// What a source knows of every sample of the data, in their order: it takes the model's place.
struct Knowledge {
  std::vector<Tensor> codes;  ///< (N, code) of each feature lesson
  /// What each was standardised by; undefined where it was not.
  std::vector<TapStatistics> statistics;
  Tensor logits;      ///< whole, as Participant has them,
  SparseTeacher top;  ///< or the largest, or neither where a lesson asks for none
};

/// Of all samples of a source that does not augment: logits (N,V) f32, or (N,T,V) where every step
/// has a label; and the K largest of them, what is left at tau, without ever keeping the others.
Tensor logits_of_all(const Participant& model, BatchSource& data);
SparseTeacher top_of_all(const Participant& model, BatchSource& data, std::int64_t K, double tau);

/// The codes (N, code) of all samples of a source that does not augment, in their order: what
/// feature.codes wants. Of a model in evaluation they do not depend on the batch in
/// MathMode::exact.
Tensor encode_all(const Participant& model, BatchSource& data, const FeatureLesson& feature);

}  // namespace limbeck
