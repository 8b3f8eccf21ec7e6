// SPDX-License-Identifier: Apache-2.0
// Two matrices of inner products compared through a polynomial kernel, in one pass over both.
#pragma once

#include <vector>

#include <limbeck/core/tensor.h>

namespace limbeck {

inline constexpr int kMaxGramDegree = 8;

struct GramCompareOptions {
  std::vector<double> coefficients = {0, 1};  ///< a_0 to a_P, P from 1 to kMaxGramDegree
  bool relative = false;
  double mean_over = 0;  ///< rows the loss is a mean over; 0: all N
};

/// All written. dgram may be undefined, or the student's matrix.
struct GramCompareOutputs {
  Tensor loss;   ///< (1), f32 (f64 for f64)
  Tensor dgram;  ///< like student; the gradient is this times `scale`
  Tensor scale;  ///< (1), as loss
};

/// With k(g) = sum_p a_p g^p, elementwise, sums over all elements of student and teacher (N,M), of
/// one floating dtype, and n = mean_over M:
///   loss = sum (k(student) - k(teacher))^2 / n, with `relative` over sum k(teacher)^2 / n
///   dgram = 2 (k(student) - k(teacher)) k'(student) / n
///   scale = 1, with `relative` n / sum k(teacher)^2
/// dgram is therefore as symmetric as the two matrices are. Where k(teacher) is 0 everywhere there
/// is no relative error, and the loss is not divided. Sums in f32 (f64 for f64), per row and then
/// over the rows in their order. a_0 changes nothing but what `relative` divides by.
void gram_compare_forward_with_grad(GramCompareOutputs& out, const Tensor& student,
                                    const Tensor& teacher, const GramCompareOptions& options);

namespace cpu {
void gram_compare_forward_with_grad(GramCompareOutputs& out, const Tensor& student,
                                    const Tensor& teacher, const GramCompareOptions& options);
}  // namespace cpu
namespace cuda {
void gram_compare_forward_with_grad(GramCompareOutputs& out, const Tensor& student,
                                    const Tensor& teacher, const GramCompareOptions& options);
}  // namespace cuda

}  // namespace limbeck
