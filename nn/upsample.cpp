// SPDX-License-Identifier: Apache-2.0
#include <limbeck/nn/upsample.h>

#include <limbeck/autograd/upsample.h>

namespace limbeck {
namespace {

std::string describe_ratio(const ScaleRatio& r) {
  return r.denominator == 1 ? detail::concat(r.numerator)
                            : detail::concat(r.numerator, "/", r.denominator);
}

}  // namespace

Upsample::Upsample(const UpsampleOptions& options) : options_(options) {
  for (const ScaleRatio& r : {options.height, options.width})
    LIMBECK_CHECK(r.numerator >= 1 && r.denominator >= 1, "Upsample: scale ", r.numerator, "/",
                  r.denominator, "; expected both >= 1");
}

Variable Upsample::forward(const Variable& x, Context&) {
  output_shape(x.shape());
  return upsample(x, options_);
}

Shape Upsample::output_shape(const Shape& input) const {
  const auto leaves_some = [](std::int64_t n, const ScaleRatio& r) {
    return n * r.numerator >= r.denominator;
  };
  LIMBECK_CHECK(input.rank() == 4 && leaves_some(input[1], options_.height) &&
                    leaves_some(input[2], options_.width),
                describe(), ": input has shape ", input,
                "; expected (N,H,W,C) with an output of at least 1x1");
  return upsample_output_shape(input, options_);
}

std::string Upsample::describe() const {
  return detail::concat("Upsample(",
                        options_.mode == UpsampleMode::nearest ? "nearest" : "bilinear", ", ",
                        describe_ratio(options_.height), ", ", describe_ratio(options_.width), ")");
}

}  // namespace limbeck
