// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/preprocess_json.h>

#include <limbeck/core/error.h>
#include <limbeck/kernels/gather.h>

namespace limbeck {

using nlohmann::json;

namespace {

std::vector<double> read_numbers(const JsonObject& object, const char* key) {
  std::vector<double> list;
  for (const auto& [value, path] : object.elements(key)) {
    LIMBECK_CHECK(value.is_number(), path, ": is ", value.dump(), "; expected a number");
    list.push_back(value.get<double>());
  }
  return list;
}

}  // namespace

Preprocess read_preprocess(const JsonObject& object) {
  Preprocess input;
  input.scale = object.number("scale", input.scale);
  input.shift = object.number("shift", input.shift);
  input.mean = read_numbers(object, "mean");
  input.std = read_numbers(object, "std");
  LIMBECK_CHECK(input.mean.size() == input.std.size() && input.mean.size() <= kMaxNormalized,
                object.path("mean"), ": has ", input.mean.size(), " numbers, std ",
                input.std.size(), "; expected one each for at most ", kMaxNormalized,
                " channels, or neither");
  for (const double s : input.std)
    LIMBECK_CHECK(s > 0, object.path("std"), ": names ", s, "; expected numbers > 0");
  return input;
}

json write_preprocess(const Preprocess& input) {
  json object = {{"scale", input.scale}, {"shift", input.shift}};
  if (!input.mean.empty()) object["mean"] = input.mean;
  if (!input.std.empty()) object["std"] = input.std;
  return object;
}

}  // namespace limbeck
