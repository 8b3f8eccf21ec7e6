// SPDX-License-Identifier: Apache-2.0
#include <limbeck/nn/token_pool.h>

#include <limbeck/autograd/token_pool.h>

namespace limbeck {
namespace {

Shape pooled_shape(const Module& layer, const Shape& input) {
  LIMBECK_CHECK(input.rank() == 3 && input[1] >= 1, layer.describe(), ": input has shape ", input,
                "; expected (N,T,D) with T >= 1");
  return {input[0], input[2]};
}

}  // namespace

SelectToken::SelectToken(TokenPool which) : which_(which) {
  LIMBECK_CHECK(which != TokenPool::mean,
                "SelectToken: a mean is no token; expected first or last");
}

Variable SelectToken::forward(const Variable& x, Context& context) {
  output_shape(x.shape());
  return token_pool(x, context.lengths, which_);
}

Shape SelectToken::output_shape(const Shape& input) const { return pooled_shape(*this, input); }

std::string SelectToken::describe() const {
  return which_ == TokenPool::first ? "SelectToken(first)" : "SelectToken(last)";
}

Variable MeanTokens::forward(const Variable& x, Context& context) {
  output_shape(x.shape());
  return token_pool(x, context.lengths, TokenPool::mean);
}

Shape MeanTokens::output_shape(const Shape& input) const { return pooled_shape(*this, input); }

}  // namespace limbeck
