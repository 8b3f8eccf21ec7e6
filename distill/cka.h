// SPDX-License-Identifier: Apache-2.0
// Centred kernel alignment (Kornblith et al. 2019): how alike two layers find the same n samples, 0
// to 1, whatever their widths. It does not change when the features of either are rotated or scaled
// as a whole; it does when they are mapped linearly.
#pragma once

#include <limbeck/core/tensor.h>

namespace limbeck {

/// linear: of linear_gram (distill/feature_gram.h) with the biased HSIC, equal to |Y'X|^2 /
/// (|X'X| |Y'Y|) of centred columns. rbf: of rbf_gram. unbiased: linear with the unbiased HSIC of
/// Song et al. (2012), so that means over small batches are right, as Nguyen et al. (2021) use it;
/// it may leave [0, 1] a little.
enum class CkaKind { linear, rbf, unbiased };

/// The Gram matrix (n,n) f64 of features (n,...) whose inner products with others are what `kind`
/// compares: <centred(K), centred(L)> is tr(KHLH), H = I - 11'/n, or for unbiased n(n-3) times
/// HSIC_1(K,L) = [tr(K~L~) + 1'K~1 1'L~1 / ((n-1)(n-2)) - 2 1'K~L~1 / (n-2)] / (n(n-3)), ~ meaning
/// a diagonal of 0. unbiased wants n >= 4. Throws std::invalid_argument.
Tensor centred_gram(const Tensor& features, CkaKind kind, double rbf_scale = 1);

/// The two ways to centre, of symmetric K (n,n) f64. The second subtracts means of n - 2 instead of
/// n elements and keeps a diagonal of 0.
Tensor centre(const Tensor& gram);
Tensor centre_unbiased(const Tensor& gram);

/// HSIC_1 of two Gram matrices (n,n) f64, n >= 4.
double unbiased_hsic(const Tensor& k, const Tensor& l);

/// CKA of features x (n,...) and y (n,...); 0 where one of them is the same for all samples. Sums
/// are doubles in index order. Throws std::invalid_argument.
double cka(const Tensor& x, const Tensor& y, CkaKind kind = CkaKind::linear, double rbf_scale = 1);

/// The kernel alignments of two lists of layers, batch after batch: the mean HSICs of all batches
/// are divided, not averaged CKAs, which are too high for small batches.
class CkaMatrix {
 public:
  /// Rows of the matrix, columns, and what is measured.
  CkaMatrix(std::int64_t rows, std::int64_t columns, CkaKind kind);
  /// One batch's grams, as centred_gram gives them: a (rows,n,n), b (columns,n,n), f64. n may
  /// differ between batches. Throws std::invalid_argument.
  void add(const Tensor& a, const Tensor& b);
  /// (rows, columns) f64. Throws std::invalid_argument when nothing was added.
  Tensor result() const;

 private:
  CkaKind kind_;
  Tensor cross_, self_a_, self_b_;
  bool empty_ = true;
};

}  // namespace limbeck
