// SPDX-License-Identifier: Apache-2.0
#include <limbeck/distill/polynomial.h>

#include <cmath>
#include <sstream>

#include <limbeck/autograd/gram.h>
#include <limbeck/autograd/unit_rows.h>
#include <limbeck/distill/feature_checks.h>
#include <limbeck/distill/tap.h>

namespace limbeck {

std::vector<double> gaussian_taylor_coefficients(double gamma, int degree) {
  LIMBECK_CHECK(gamma > 0 && std::isfinite(gamma), "polynomial: gamma is ", gamma,
                "; expected > 0");
  LIMBECK_CHECK(1 <= degree && degree <= kMaxGramDegree, "polynomial: degree is ", degree,
                "; expected 1 to ", kMaxGramDegree);
  std::vector<double> a = {std::exp(-2 * gamma)};
  for (int p = 1; p <= degree; ++p) a.push_back(a.back() * 2 * gamma / p);
  return a;
}

Polynomial::Polynomial(const Shape& receiver, const Shape& source, const PolynomialOptions& options)
    : receiver_(receiver), source_(source), options_(options) {
  if (congruence())
    compare_.coefficients = gaussian_taylor_coefficients(options.gamma, options.degree);
  compare_.relative = options.relative;
}

Tensor Polynomial::encode(const Tensor& source) const {
  check_tap("polynomial", "source", source, source_);
  const NoGrad no_grad;
  return vectors(Variable(source)).value();
}

Variable Polynomial::loss(const Variable& receiver, const Tensor& code, double mean_over) {
  check_tap("polynomial", "receiver", receiver.value(), receiver_);
  check_code("polynomial", code, code_shape(), receiver.value());
  check_whole_batch("polynomial", receiver.value(), mean_over);
  return gram_compare(similarities(vectors(receiver)), similarities(Variable(code)).value(),
                      compare_);
}

std::string Polynomial::describe() const {
  std::ostringstream text;
  if (congruence())
    text << "polynomial(congruence, gamma " << options_.gamma << ", degree " << options_.degree;
  else
    text << "polynomial(similarity preserving";
  text << (options_.relative ? ", relative)" : ")");
  return text.str();
}

Variable Polynomial::vectors(const Variable& taps) const {
  const Variable rows = tap_vectors(taps);
  return congruence() ? unit_rows(rows) : rows;
}

// The polynomial's gradient is symmetric, since both matrices are; that of scaled rows is not.
Variable Polynomial::similarities(const Variable& rows) const {
  return congruence() ? gram(rows, GramGradient::symmetric) : unit_rows(gram(rows));
}

}  // namespace limbeck
