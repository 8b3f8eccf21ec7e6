// SPDX-License-Identifier: Apache-2.0
#include <limbeck/core/philox.h>

#include <set>

#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

void expect_block(const Philox4& b, std::uint32_t x, std::uint32_t y, std::uint32_t z,
                  std::uint32_t w) {
  EXPECT_EQ(b.x, x);
  EXPECT_EQ(b.y, y);
  EXPECT_EQ(b.z, z);
  EXPECT_EQ(b.w, w);
}

TEST(Philox, KnownAnswersOfRandom123) {
  // kat_vectors of Random123, philox4x32 with 10 rounds; keys are (k0, k1) = (low, high) words.
  expect_block(philox4x32({0, 0, 0, 0}, 0), 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8);
  expect_block(philox4x32({~0u, ~0u, ~0u, ~0u}, ~std::uint64_t{0}), 0x408f276d, 0x41c83b0e,
               0xa20bc7c6, 0x6d5451fd);
  expect_block(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, 0x299f31d0a4093822),
               0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1);
}

TEST(Philox, StreamIsTheCounterInReadingOrder) {
  const RngStream stream = {0x0123456789abcdef, 5, 6, RngPurpose::dropout};
  const Philox4 expected =
      philox4x32({3, 5, 6, static_cast<std::uint32_t>(RngPurpose::dropout)}, 0x0123456789abcdef);
  expect_block(philox_block(stream, 3), expected.x, expected.y, expected.z, expected.w);
  expect_block({philox_word(stream, 12), philox_word(stream, 13), philox_word(stream, 14),
                philox_word(stream, 15)},
               expected.x, expected.y, expected.z, expected.w);
}

TEST(Philox, StreamsDiffer) {
  std::set<std::uint32_t> first;
  for (std::uint64_t seed : {1, 2})
    for (std::uint32_t step : {0, 1})
      for (std::uint32_t layer : {0, 1})
        for (RngPurpose purpose : {RngPurpose::init, RngPurpose::shuffle, RngPurpose::dropout,
                                   RngPurpose::augment, RngPurpose::data})
          first.insert(philox_word({seed, step, layer, purpose}, 0));
  EXPECT_EQ(first.size(), 40u);
}

TEST(Philox, UniformIsInUnitInterval) {
  EXPECT_EQ(uniform_from_word(0), 0);
  EXPECT_EQ(uniform_from_word(~0u), 1 - 0x1p-24f);
  EXPECT_EQ(uniform_from_word(0x80000000u), 0.5f);
}

}  // namespace
}  // namespace limbeck::testing
