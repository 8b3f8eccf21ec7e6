// SPDX-License-Identifier: Apache-2.0
#include <limbeck/nn/named_tensors.h>

#include <map>

namespace limbeck {
namespace {

std::string kind_of(const Tensor& t) { return detail::concat(t.dtype(), t.shape()); }

/// One line naming what keeps `given` from standing for `wanted`; empty when nothing does.
std::string differences(const NamedTensors& wanted, const std::map<std::string, Tensor>& given) {
  std::string text;
  for (const auto& [name, tensor] : wanted) {
    const auto found = given.find(name);
    if (found == given.end())
      text += detail::concat("; missing '", name, "' ", kind_of(tensor));
    else if (kind_of(found->second) != kind_of(tensor))
      text += detail::concat("; '", name, "' is ", kind_of(found->second), ", expected ",
                             kind_of(tensor));
  }
  const std::map<std::string, Tensor> known(wanted.begin(), wanted.end());
  for (const auto& [name, tensor] : given)
    if (!known.contains(name))
      text += detail::concat("; unexpected '", name, "' ", kind_of(tensor));
  return text;
}

}  // namespace

void copy_named(NamedTensors& own, const NamedTensors& given, const std::string& what) {
  const std::map<std::string, Tensor> by_name(given.begin(), given.end());
  const std::string wrong = differences(own, by_name);
  LIMBECK_CHECK(wrong.empty(), what, wrong);
  for (auto& [name, tensor] : own) tensor.copy_from(by_name.at(name));
}

}  // namespace limbeck
