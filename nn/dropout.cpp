// SPDX-License-Identifier: Apache-2.0
#include <limbeck/nn/dropout.h>

#include <limbeck/autograd/dropout.h>

namespace limbeck {

namespace {

std::int64_t row_elements(const Variable& x) {
  const std::int64_t rows = x.shape().rank() == 0 ? 1 : x.shape()[0];
  return rows == 0 ? 0 : x.shape().numel() / rows;
}

/// Of the next layer that draws numbers.
DropoutOptions dropout_options(double p, std::int64_t elements_per_row, Context& context) {
  DropoutOptions options;
  options.p = p;
  options.stream = context.next_stream();
  options.first_element = context.first_row * elements_per_row;
  return options;
}

}  // namespace

Dropout::Dropout(double p) : p_(p) {
  LIMBECK_CHECK(p >= 0 && p < 1, "Dropout: p is ", p, "; expected 0 <= p < 1");
}

Variable Dropout::forward(const Variable& x, Context& context) {
  if (!context.training) return x;
  return dropout(x, dropout_options(p_, row_elements(x), context));
}

std::string Dropout::describe() const { return detail::concat("Dropout(", p_, ")"); }

DropPath::DropPath(double p) : p_(p) {
  LIMBECK_CHECK(p >= 0 && p < 1, "DropPath: p is ", p, "; expected 0 <= p < 1");
}

Variable DropPath::forward(const Variable& x, Context& context) {
  if (!context.training) return x;
  const std::int64_t elements = row_elements(x);
  DropoutOptions options = dropout_options(p_, elements, context);
  options.together = elements > 0 ? elements : 1;
  return dropout(x, options);
}

std::string DropPath::describe() const { return detail::concat("DropPath(", p_, ")"); }

}  // namespace limbeck
