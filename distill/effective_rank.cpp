// SPDX-License-Identifier: Apache-2.0
#include <limbeck/distill/effective_rank.h>

#include <cmath>

#include <limbeck/distill/feature_gram.h>
#include <limbeck/distill/symmetric_eigen.h>

namespace limbeck {

double effective_rank_of_gram(const Tensor& gram) {
  const std::vector<double> squares = symmetric_eigenvalues(gram);
  const double least = squares.back() * static_cast<double>(squares.size()) * 0x1p-50;
  double total = 0;
  for (const double square : squares)
    if (square > least) total += std::sqrt(square);
  if (total == 0) return 0;
  double entropy = 0;
  for (const double square : squares) {
    if (square <= least) continue;
    const double p = std::sqrt(square) / total;
    entropy -= p * std::log(p);
  }
  return std::exp(entropy);
}

double effective_rank(const Tensor& features) {
  return effective_rank_of_gram(linear_gram(features));
}

}  // namespace limbeck
