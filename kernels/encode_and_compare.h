// SPDX-License-Identifier: Apache-2.0
// A feature loss in one pass: the taps of both models are projected to codes of K numbers, the
// codes are compared, and the student's gradient goes back through the projection. Neither codes
// nor projections are stored.
#pragma once

#include <variant>

#include <limbeck/core/tensor.h>
#include <limbeck/kernels/count_sketch.h>
#include <limbeck/kernels/rademacher.h>

namespace limbeck {

/// The tensor given is the code: a stored one, or what a layer made of the tap.
struct GivenCode {};

/// What makes the code (N,K) of a tap (N,D): nothing, rademacher_projection or count_sketch. Fixed
/// by seeds on both sides: a target code that could be trained would collapse.
using TapEncoder = std::variant<GivenCode, RademacherMatrix, CountSketchPlan>;

inline constexpr std::int64_t kMaxCode = 1024;  ///< K at most

struct EncodeAndCompareOptions {
  std::int64_t K = 0;  ///< 1 to kMaxCode; no usable default
  TapEncoder student = {}, teacher = {};
  double mean_over = 0;  ///< rows the loss is a mean over, as CrossEntropyOptions; 0: all N
};

/// All written. Undefined ones but row_loss are left out.
struct EncodeAndCompareOutputs {
  Tensor row_loss;      ///< (N), f32 (f64 for f64)
  Tensor dstudent;      ///< like student, and may be student
  Tensor student_code;  ///< (N,K), the student's dtype or f32: what a later epoch may give as
  Tensor teacher_code;  ///< GivenCode
};

/// With cs, ct the codes of student (N,Ds) and teacher (N,Dt) and w the weight of row n, 1 unless
/// row_weight (N) f32 (f64 for f64) is defined:
///   row_loss_n = w/K sum_k (cs_k - ct_k)^2
///   dstudent_n = 2w / (K mean_over) (cs - ct) d cs/d student
/// a mean over code coordinates. A projection keeps lengths, E |c|^2 = |x|^2, so for taps of one
/// width and one encoder the loss is an unbiased estimate of w |student - teacher|^2 / K, and
/// exactly 0 for equal taps. A row of weight 0 has loss and gradient exactly 0. student and teacher
/// are of one floating dtype, given codes of that or f32; codes, differences and sums are f32 (f64
/// for f64) and never rounded to 16 bits. Where the separate ops do not round either, the gradient
/// has their bits: cs - ct times 2w/(K mean_over), rounded, then their backward; the CPU's bits on
/// a GPU too.
void encode_and_compare_forward_with_grad(EncodeAndCompareOutputs& out, const Tensor& student,
                                          const Tensor& teacher, const Tensor& row_weight,
                                          const EncodeAndCompareOptions& options);

namespace cpu {
void encode_and_compare_forward_with_grad(EncodeAndCompareOutputs& out, const Tensor& student,
                                          const Tensor& teacher, const Tensor& row_weight,
                                          const EncodeAndCompareOptions& options);
}  // namespace cpu
namespace cuda {
void encode_and_compare_forward_with_grad(EncodeAndCompareOutputs& out, const Tensor& student,
                                          const Tensor& teacher, const Tensor& row_weight,
                                          const EncodeAndCompareOptions& options);
}  // namespace cuda

}  // namespace limbeck
