// SPDX-License-Identifier: Apache-2.0
// A teacher made of labels: Yuan, Tay, Li, Wang, Feng (CVPR 2020), "Revisiting knowledge
// distillation via label smoothing regularization", Tf-KD_reg.
#pragma once

#include <limbeck/core/tensor.h>

namespace limbeck {

/// paper: softmax of the logits at tau is softmax(log p / tau), as the paper defines it. released:
/// what its code computes, softmax(p / tau) against a student at temperature 1; at tau = 20 this is
/// the uniform distribution to four digits, that is, label smoothing.
enum class VirtualTeacherForm { paper, released };

struct VirtualTeacherOptions {
  VirtualTeacherForm form = VirtualTeacherForm::paper;
  double right = 0.99;  ///< a, the probability of the label, in (1/V, 1)
  double tau = 20;      ///< released: the teacher's own temperature; paper: not read
};

/// Logits (N,V) on the labels' device of a teacher for whom p_y = a is the probability of label y
/// and (1-a)/(V-1) that of every other class:
///   paper:    z = log p, for a loss at any tau. V = 100, a = 0.99, tau = 20 gives 0.015741 and
///             0.009942.
///   released: z = p / options.tau, for a loss at tau = 1. The same numbers give 0.010502 and
///             0.009995.
/// labels (N) i32; a row labelled kIgnoreIndex has equal logits. V >= 2. Throws
/// std::invalid_argument for options out of range; labels out of range as kernels/one_hot.h.
Tensor virtual_teacher(const Tensor& labels, std::int64_t V,
                       const VirtualTeacherOptions& options = {}, DType dtype = DType::f32);

}  // namespace limbeck
