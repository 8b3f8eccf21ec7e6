// SPDX-License-Identifier: Apache-2.0
// What a model sees of a pixel, as JSON.
#pragma once

#include <nlohmann/json.hpp>

#include <limbeck/distill/evaluate.h>
#include <limbeck/tools/json_object.h>

namespace limbeck {

/// The keys scale, shift, mean and std of an object that may have others; without one there is
/// Preprocess' own value. mean and std are numbers of the images' channels, one each. Throws
/// std::invalid_argument as JsonObject does.
Preprocess read_preprocess(const JsonObject& object);
/// An object of these keys.
nlohmann::json write_preprocess(const Preprocess& input);

}  // namespace limbeck
