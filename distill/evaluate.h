// SPDX-License-Identifier: Apache-2.0
// Runs a model over a whole data set, batch after batch.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include <limbeck/distill/batch_source.h>
#include <limbeck/distill/metrics.h>
#include <limbeck/nn/module.h>

namespace limbeck {

/// What a model sees of a pixel: scale * pixel + shift, less its channel's mean and by its
/// channel's deviation where these are given.
struct Preprocess {
  double scale = 1.0 / 255;
  double shift = 0;
  std::vector<double> mean = {}, std = {};
};

/// Logits f32 of one batch x, f32 or i32 tokens, in evaluation mode, nothing recorded. A model of
/// another dtype computes in that one. lengths as in Context.
Tensor infer(Module& model, const Tensor& x, const Tensor& lengths = {});

/// Logits (N,V) f32 of all samples of a source that does not augment, in their order; else as
/// below.
Tensor predict(Module& model, BatchSource& data, std::int64_t batch = 500);

struct Evaluation {
  Metrics metrics;
  std::optional<Fidelity> fidelity;
};

/// Measures a model on all samples of a source that does not augment, and its likeness to `teacher`
/// where there is one, without keeping their logits: (N,V), or (N,T,V) where every step has a
/// label. What comes out does not depend on `batch` where the models' logits do not.
Evaluation evaluate(Module& model, BatchSource& data, Module* teacher = nullptr,
                    std::int64_t batch = 100);

/// Logits (N,V) f32 of images (N,H,W,C), u8 or f32, on the images' device; in evaluation mode,
/// nothing recorded. `batch` rows at a time; in MathMode::exact the result does not depend on it. N
/// >= 1.
Tensor predict(Module& model, const Tensor& images, const Preprocess& input,
               std::int64_t batch = 500);

}  // namespace limbeck
