// SPDX-License-Identifier: Apache-2.0
// A data set of NumPy's array files.
#pragma once

#include <string>

#include <limbeck/tools/dataset.h>

namespace limbeck {

/// The four arrays of a folder, as load_dataset says for "npy".
TrainTest load_npy_folder(const std::string& folder);

}  // namespace limbeck
