// SPDX-License-Identifier: Apache-2.0
// Which layers of a student are like which of its teacher.
#pragma once

#include <string>
#include <vector>

#include <limbeck/distill/batch_source.h>
#include <limbeck/distill/cka.h>
#include <limbeck/nn/model_graph.h>

namespace limbeck {

struct LayerSimilarityOptions {
  CkaKind kind = CkaKind::unbiased;
  double rbf_scale = 1;
  std::int64_t samples = 256;  ///< at most; spread evenly over the data
  std::int64_t batch = 256;    ///< samples of which one Gram matrix is made, with kind unbiased
  /// Regular expressions for whole names; empty: every layer but those that change no value
  /// (Dropout, DropPath, Flatten).
  std::string student_layers = {}, teacher_layers = {};
};

struct LayerSimilarity {
  CkaKind kind = CkaKind::unbiased;
  std::int64_t samples = 0;                   ///< as many as were looked at
  std::vector<std::string> student, teacher;  ///< names
  Tensor cka;                                 ///< (student, teacher) f64
  /// effective_rank of each layer; of several batches the mean.
  std::vector<double> student_rank, teacher_rank;
};

/// Runs both models in evaluation mode on the same samples of two sources, which may prepare them
/// differently. Where every sample has one label, a layer's whole output is one vector of it. Where
/// every step has a label, (B,T), the samples are steps that count, of 16 windows at least, and
/// layers without an output per step, (B,T,...), are left out. Throws std::invalid_argument: no
/// layer of that name, fewer than 4 samples, sources of other sizes.
LayerSimilarity compare_layers(ModelGraph& student, BatchSource& student_data, ModelGraph& teacher,
                               BatchSource& teacher_data, const LayerSimilarityOptions& options);

}  // namespace limbeck
