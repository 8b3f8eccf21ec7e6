// SPDX-License-Identifier: Apache-2.0
#include <limbeck/nn/module.h>

namespace limbeck {

std::int64_t parameter_count(Module& module) {
  std::int64_t count = 0;
  for (const NamedParameter& p : module.parameters()) count += p.value.shape().numel();
  return count;
}

}  // namespace limbeck
