// SPDX-License-Identifier: Apache-2.0
// The test part of some data, images or text, as models are measured on it.
#pragma once

#include <memory>
#include <string>

#include <limbeck/tools/image.h>
#include <limbeck/tools/run_data.h>

namespace limbeck {

class TestSamples {
 public:
  /// Loads the data (tools/run_data.h); batches will lie on `device`.
  TestSamples(const DataConfig& config, Device device);

  bool is_text() const { return text_.has_value(); }
  Shape input() const;           ///< of one sample: (H,W,C) or (T)
  std::int64_t classes() const;  ///< or the vocabulary
  std::int64_t labels() const;   ///< images, or tokens that are to be foretold
  const std::string& name() const;
  const std::string& digest() const;
  double characters_per_token() const { return text_ ? text_->characters_per_token : 0; }

  /// All of them, as a model sees them. Throws std::invalid_argument when the means do not fit.
  std::unique_ptr<BatchSource> source(const Preprocess& input) const;

  /// A folder's class, a token's characters, else its number.
  std::string class_name(std::int64_t label) const;
  /// Label i, which is not checked against labels().
  std::int64_t label(std::int64_t i) const;
  /// The text before token i + 1, which label i is; "" where nothing turns tokens into text.
  std::string text_before(std::int64_t i) const;
  /// Image i as it is seen, brightest and darkest stretched to 255 and 0 where pixels are not
  /// bytes; of no size for text and for channels other than 1 and 3.
  Image image(std::int64_t i) const;

 private:
  Dataset images_, moved_;  ///< the latter on the device
  std::optional<TextDataset> text_;
  Device device_;
};

/// Refuses a model whose output is not a row of `samples.classes()` logits per label, naming
/// `weights`. Throws std::invalid_argument.
void check_output(const ModelGraph& model, const std::string& weights, const TestSamples& samples);

}  // namespace limbeck
