// SPDX-License-Identifier: Apache-2.0
// The one table of techniques that run files know.
#pragma once

#include <string_view>
#include <vector>

#include <limbeck/tools/distill_config.h>
#include <limbeck/tools/json_object.h>

namespace limbeck {

/// A technique: its name, the keys of its options (named as the fields of its options struct), what
/// reads them, and whether the source is standardised unless the file says otherwise.
struct Technique {
  std::string_view name;
  std::vector<std::string_view> keys;
  MakeFeatureLoss (*read)(const JsonObject& object);
  bool standardise;
};

/// gaussian_laplace, polynomial, compressed_sensing and semi_gaussian_laplace, with their variants
/// mmd, channel_moments and tensor_sketch; and, to compare with, hint, feature_mse,
/// attention_transfer, relational and pkt.
const std::vector<Technique>& techniques();

}  // namespace limbeck
