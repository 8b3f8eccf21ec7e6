// SPDX-License-Identifier: Apache-2.0
// The data that a command line names.
#pragma once

#include <string>

#include <limbeck/tools/experiment.h>

namespace CLI {
class App;
}

namespace limbeck {

struct DataArguments {
  std::string source;
  std::string format = "idx";  ///< a folder's (tools/dataset.h), text or tokens
  SyntheticOptions synthetic;
  FolderImages images;  ///< of format folder
  TextOptions text;     ///< its format is not used; a context of 0: what the model was trained on
};

/// --data, --format and what each format has of its own.
void add_data_options(CLI::App& command, DataArguments& data);

/// `weights` is the file that says the context where the command line does not. Throws
/// std::invalid_argument for options of another format.
DataConfig data_config(const DataArguments& data, const std::string& weights);

}  // namespace limbeck
