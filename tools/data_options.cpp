// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/data_options.h>

#include <algorithm>

#include <CLI/CLI.hpp>

#include <limbeck/core/error.h>
#include <limbeck/tools/loaded_model.h>

namespace limbeck {

void add_data_options(CLI::App& command, DataArguments& data) {
  command.add_option("--data", data.source, "synthetic-digits, a folder or a file")->required();
  command.add_option("--format", data.format,
                     "files of the data: idx (default), cifar10, cifar100, npy, folder, text or "
                     "tokens");
  command.add_option("--height", data.images.size.height, "of format folder: images are resized");
  command.add_option("--width", data.images.size.width, "of format folder: images are resized");
  command.add_option("--channels", data.images.channels, "of format folder: 3 (default) or 1");
  command.add_option("--test-samples", data.synthetic.test_samples, "images of synthetic-digits");
  command.add_option("--data-seed", data.synthetic.seed, "seed of synthetic-digits");
  command.add_option("--context", data.text.context,
                     "of text: tokens of a window; by default the model's");
  command.add_option("--tokenizer", data.text.tokenizer,
                     "of format text: characters (default) or a tokenizer's JSON file");
  command.add_option("--vocabulary", data.text.vocabulary, "of format tokens: how many there are");
  command.add_option("--token-bytes", data.text.token_bytes, "of format tokens: 2 (default) or 4");
  command.add_option("--validation", data.text.validation,
                     "of text: share of a single file, its end, to test on");
}

DataConfig data_config(const DataArguments& data, const std::string& weights) {
  DataConfig config;
  config.source = data.source;
  config.synthetic = data.synthetic;
  config.synthetic.train_samples = 1;  // not looked at, and the test part is the same
  config.folder = {data.format, data.images};
  const auto formats = {"idx", "cifar10", "cifar100", "npy", "folder", "text", "tokens"};
  LIMBECK_CHECK(std::find(formats.begin(), formats.end(), data.format) != formats.end(),
                "--format: is ", data.format,
                "; expected idx, cifar10, cifar100, npy, folder, text or tokens");
  if (data.format != "text" && data.format != "tokens") {
    LIMBECK_CHECK(data.text.context == 0 && data.text.vocabulary == 0,
                  data.text.context != 0 ? "--context" : "--vocabulary",
                  ": is of text; the format is ", data.format);
    return config;
  }
  config.text = data.text;
  config.text->format = data.format;
  if (data.text.context == 0) config.text->context = trained_context(weights);
  LIMBECK_CHECK(config.text->context != 0, "--context: is missing; ", weights,
                " does not say how many tokens its model reads");
  LIMBECK_CHECK(data.text.token_bytes == 2 || data.text.token_bytes == 4, "--token-bytes: is ",
                data.text.token_bytes, "; expected 2 or 4");
  return config;
}

}  // namespace limbeck
