// SPDX-License-Identifier: Apache-2.0
// What the tests of joined layers draw.
#pragma once

#include <limbeck/tests/device_test.h>

namespace limbeck::testing {

class JoinedTest : public DeviceTest {
 protected:
  Tensor random(const Shape& shape, std::uint64_t seed) const {
    return make(random_values(shape.numel(), 1, seed), shape);
  }
};

}  // namespace limbeck::testing
