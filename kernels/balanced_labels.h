// SPDX-License-Identifier: Apache-2.0
// A model's own hard labels, as often of each class as another model says.
#pragma once

#include <limbeck/core/tensor.h>

namespace limbeck {

struct BalancedLabelsOptions {
  int iterations = 3;  ///< of Sinkhorn's scaling, >= 0; 0 leaves the classes as they are
  /// A row whose probability of its label is below this gets kIgnoreIndex instead; 0 to 1.
  double threshold = 0;
};

/// Per class an offset b_v on the student's logits zs for which the classes are as probable, on the
/// mean over the rows, as they are to the weak model, of logits zw (Sinkhorn, the offsets being its
/// column scalings): from b = 0, `iterations` times
///   b_v = log sum_n softmax(zw_n)_v  -  log sum_n softmax(zs_n + b)_v  +  b_v,
/// and then label_n = the first argmax_v of zs_nv + b_v, or kIgnoreIndex where
/// softmax(zs_n + b)_label < threshold. A class that all rows of a model give probability 0 has
/// offset -inf (the weak one) or 0 (the student).
/// student, weak (N,V) of one floating dtype, N and V >= 1; labels (N) i32 and offsets (V) f32 (f64
/// for f64), both written. `counted` (N) i32 or undefined: rows that are kIgnoreIndex there take no
/// part and get kIgnoreIndex. All in log space; sums over rows in their order or a fixed tree of
/// it.
void balanced_labels(Tensor& labels, Tensor& offsets, const Tensor& student, const Tensor& weak,
                     const BalancedLabelsOptions& options = {}, const Tensor& counted = {});

namespace cpu {
void balanced_labels(Tensor& labels, Tensor& offsets, const Tensor& student, const Tensor& weak,
                     const BalancedLabelsOptions& options, const Tensor& counted);
}  // namespace cpu
namespace cuda {
void balanced_labels(Tensor& labels, Tensor& offsets, const Tensor& student, const Tensor& weak,
                     const BalancedLabelsOptions& options, const Tensor& counted);
}  // namespace cuda

}  // namespace limbeck
