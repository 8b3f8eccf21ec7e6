// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/test_samples.h>

#include <algorithm>
#include <cmath>

#include <limbeck/core/error.h>

namespace limbeck {
namespace {

constexpr std::int64_t kTextShown = 60;  // tokens before a sample

/// Elements of one image as bytes.
std::vector<std::uint8_t> bytes_of(const Tensor& image) {
  if (image.dtype() == DType::u8) return image.to_vector<std::uint8_t>();
  const std::vector<float> values = image.to_vector<float>();
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  const float range = *high > *low ? *high - *low : 1;
  std::vector<std::uint8_t> bytes;
  for (const float v : values)
    bytes.push_back(static_cast<std::uint8_t>(std::lround(255 * (v - *low) / range)));
  return bytes;
}

}  // namespace

TestSamples::TestSamples(const DataConfig& config, Device device) : device_(device) {
  RunData data = load_run_data(config);
  if (data.text) {
    text_ = std::move(data.text->test);
    return;
  }
  images_ = std::move(data.images.test);
  moved_ = images_.on(device);
}

Shape TestSamples::input() const {
  if (text_) return {text_->context};
  return images_.image_shape();
}

std::int64_t TestSamples::classes() const { return text_ ? text_->vocabulary : images_.classes; }

std::int64_t TestSamples::labels() const {
  return text_ ? text_->tokens.count - 1 : images_.labels.numel();
}

const std::string& TestSamples::name() const { return text_ ? text_->name : images_.name; }
const std::string& TestSamples::digest() const { return text_ ? text_->digest : images_.digest; }

std::unique_ptr<BatchSource> TestSamples::source(const Preprocess& input) const {
  if (text_) return text_->source(device_);
  return moved_.source(device_, input);
}

std::string TestSamples::class_name(std::int64_t label) const {
  if (text_ && text_->tokenizer) {
    const auto token = static_cast<std::uint32_t>(label);
    return text_->tokenizer->decode({&token, 1});
  }
  if (images_.files) return images_.files->classes.at(static_cast<std::size_t>(label));
  return std::to_string(label);
}

std::int64_t TestSamples::label(std::int64_t i) const {
  if (text_) return text_->tokens[i + 1];
  return images_.labels.data<std::int32_t>()[i];
}

std::string TestSamples::text_before(std::int64_t i) const {
  if (!text_ || !text_->tokenizer) return "";
  const std::int64_t window = i - i % text_->context;  // what the models have read
  std::vector<std::uint32_t> tokens;
  for (std::int64_t at = std::max(window, i + 1 - kTextShown); at <= i; ++at)
    tokens.push_back(text_->tokens[at]);
  return text_->tokenizer->decode(tokens);
}

Image TestSamples::image(std::int64_t i) const {
  if (text_) return {};
  const Shape shape = images_.image_shape();
  const std::int64_t C = shape[2];
  if (C != 1 && C != 3) return {};
  std::vector<std::uint8_t> bytes(static_cast<std::size_t>(shape.numel()));
  if (images_.files)
    images_.files->load(static_cast<std::int32_t>(i), bytes.data());
  else
    bytes = bytes_of(images_.images.rows(i, i + 1));
  Image image{shape[0], shape[1], {}};
  for (std::size_t at = 0; at < bytes.size(); ++at)
    image.pixels.insert(image.pixels.end(), C == 1 ? 3 : 1, bytes[at]);
  return image;
}

void check_output(const ModelGraph& model, const std::string& weights, const TestSamples& samples) {
  const Shape input = samples.input(), classes = {samples.classes()};
  if (samples.is_text()) {
    const Shape out = model.output_shape({1, input[0]}), wanted = {1, input[0], classes[0]};
    LIMBECK_CHECK(out == wanted, weights, ": gives ", out, " per window; expected ", wanted,
                  ", logits of every token after each of ", samples.name());
    return;
  }
  const Shape out = model.output_shape({1, input[0], input[1], input[2]});
  LIMBECK_CHECK(out == (Shape{1, classes[0]}), weights, ": gives ", out.numel(), " outputs; ",
                samples.name(), " has ", classes[0], " classes");
}

}  // namespace limbeck
