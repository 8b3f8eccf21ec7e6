// SPDX-License-Identifier: Apache-2.0
// What the tests of feature losses share.
#pragma once

#include <limbeck/distill/feature_loss.h>
#include <limbeck/tests/device_test.h>

namespace limbeck::testing {

class FeatureLossTest : public DeviceTest {
 protected:
  Tensor random(const Shape& shape, std::uint64_t seed) const {
    return make(random_values(shape.numel(), 1, seed), shape);
  }
};

struct Outcome {
  Variable loss;
  Tensor gradient;  ///< of the receiver's tap
};

/// A whole batch's loss and what it says to the receiver.
inline Outcome compare(FeatureLoss& technique, const Tensor& receiver, const Tensor& source) {
  const Variable tap(receiver, true);
  const Variable loss =
      technique.loss(tap, technique.encode(source), static_cast<double>(receiver.dim(0)));
  loss.backward();
  return {loss, tap.grad()};
}

/// The gradients of two parts of a batch are the whole's rows, and none reaches the source. Five
/// samples.
inline void expect_parts_add_up(FeatureLoss& technique, const Tensor& receiver,
                                const Tensor& source) {
  EXPECT_TRUE(technique.per_sample());
  const Variable all(receiver, true), first(receiver.rows(0, 2), true);
  const Variable rest(receiver.rows(2, 5), true), taught(source, true);
  technique.loss(all, technique.encode(taught.value()), 5).backward();
  technique.loss(first, technique.encode(source.rows(0, 2)), 5).backward();
  technique.loss(rest, technique.encode(source.rows(2, 5)), 5).backward();
  EXPECT_TRUE(same_bytes(first.grad(), all.grad().rows(0, 2)));
  EXPECT_TRUE(same_bytes(rest.grad(), all.grad().rows(2, 5)));
  EXPECT_FALSE(taught.grad().defined());
}

}  // namespace limbeck::testing
