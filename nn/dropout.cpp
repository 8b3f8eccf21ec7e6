// SPDX-License-Identifier: Apache-2.0
#include <limbeck/nn/dropout.h>

#include <limbeck/autograd/dropout.h>

namespace limbeck {

Dropout::Dropout(double p) : p_(p) {
  LIMBECK_CHECK(p >= 0 && p < 1, "Dropout: p is ", p, "; expected 0 <= p < 1");
}

Variable Dropout::forward(const Variable& x, Context& context) {
  if (!context.training) return x;
  const std::int64_t rows = x.shape().rank() == 0 ? 1 : x.shape()[0];
  const std::int64_t row_elements = rows == 0 ? 0 : x.shape().numel() / rows;
  DropoutOptions options;
  options.p = p_;
  options.stream = {context.seed, context.step, context.random_layer++, RngPurpose::dropout};
  options.first_element = context.first_row * row_elements;
  return dropout(x, options);
}

std::string Dropout::describe() const { return detail::concat("Dropout(", p_, ")"); }

}  // namespace limbeck
