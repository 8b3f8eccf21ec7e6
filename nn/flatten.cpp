// SPDX-License-Identifier: Apache-2.0
#include <limbeck/nn/flatten.h>

#include <limbeck/autograd/reshape.h>

namespace limbeck {

Variable Flatten::forward(const Variable& x, Context&) {
  return reshape(x, output_shape(x.shape()));
}

Shape Flatten::output_shape(const Shape& input) const {
  LIMBECK_CHECK(input.rank() >= 2, "Flatten: input has shape ", input, "; expected (N,...)");
  std::int64_t features = 1;
  for (int i = 1; i < input.rank(); ++i) features *= input[i];
  return {input[0], features};
}

}  // namespace limbeck
