// SPDX-License-Identifier: Apache-2.0
#include <limbeck/distill/token_source.h>

#include <limbeck/distill/shuffle.h>
#include <limbeck/kernels/cross_entropy.h>
#include <limbeck/tests/same_bits.h>

namespace limbeck::testing {
namespace {

using Ints = std::vector<std::int32_t>;

std::vector<Device> devices() {
  std::vector<Device> list = {Device::cpu()};
  if (cuda_device_count() > 0) list.push_back(Device::cuda());
  return list;
}

TEST(TokenSource, EveryTokenButTheFirstIsATargetOnce) {
  for (const Device device : devices()) {
    TokenSource source(token_row({5, 1, 4, 2, 3, 0, 5, 1}), 3, 6, device);
    EXPECT_EQ(source.size(), 3);
    EXPECT_EQ(source.classes(), 6);
    EXPECT_FALSE(source.augments());
    source.begin_epoch({0, 1, 2}, 0);
    const Batch batch = source.fetch(0, 3, 0);
    EXPECT_EQ(batch.x.device(), device);
    EXPECT_EQ(batch.x.shape(), (Shape{3, 3}));
    EXPECT_EQ(batch.x.to_vector<std::int32_t>(), (Ints{5, 1, 4, 2, 3, 0, 5, 0, 0}));
    const std::int32_t none = kIgnoreIndex;  // the row ends in the middle of the last window
    EXPECT_EQ(batch.labels.to_vector<std::int32_t>(), (Ints{1, 4, 2, 3, 0, 5, 1, none, none}));
    EXPECT_EQ(batch.samples.to_vector<std::int32_t>(), (Ints{0, 1, 2}));
    EXPECT_EQ(batch.targets, 7);
    EXPECT_FALSE(batch.lengths.defined());
  }
}

TEST(TokenSource, NoWindowIsEmpty) {
  // Seven tokens have six targets: two windows of three and no third one.
  TokenSource source(token_row({0, 1, 2, 3, 4, 5, 6}), 3, 7);
  EXPECT_EQ(source.size(), 2);
  EXPECT_EQ(TokenSource(token_row({1, 0}), 64, 2).size(), 1);
}

TEST(TokenSource, FollowsTheOrderItIsGiven) {
  TokenSource source(token_row({0, 1, 2, 3, 4, 5, 6, 7, 8}), 2, 9);
  source.begin_epoch({3, 0, 2}, 7);
  const Batch part = source.fetch(1, 3, 40);
  EXPECT_EQ(part.samples.to_vector<std::int32_t>(), (Ints{0, 2}));
  EXPECT_EQ(part.x.to_vector<std::int32_t>(), (Ints{0, 1, 4, 5}));
  EXPECT_EQ(part.labels.to_vector<std::int32_t>(), (Ints{1, 2, 5, 6}));
}

TEST(TokenSource, SameBatchesForAnyThreads) {
  std::vector<std::uint32_t> tokens;
  for (std::uint32_t i = 0; i < 1000; ++i) tokens.push_back(i * i % 97);
  expect_same_bits([&] {
    TokenSource source(token_row(tokens), 16, 97);
    Ints all(static_cast<std::size_t>(source.size()));
    for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<std::int32_t>(i);
    source.begin_epoch(shuffled(all, 3, 1), 1);
    const Batch batch = source.fetch(8, 24, 5);
    return std::vector<Tensor>{batch.x, batch.labels, batch.samples};
  });
}

TEST(TokenRow, ReadsBothWidthsAndParts) {
  const std::shared_ptr<const char> memory(new char[8]{1, 2, 3, 4, 5, 6, '\xff', '\xff'},
                                           [](const char* p) { delete[] p; });
  const TokenRow narrow{memory, 4, 2}, wide{memory, 2, 4};
  EXPECT_EQ(narrow[0], 0x0201u);
  EXPECT_EQ(narrow[3], 0xffffu);
  EXPECT_EQ(wide[0], 0x04030201u);
  EXPECT_EQ(wide[1], 0xffff0605u);
  const TokenRow part = narrow.part(1, 3);
  EXPECT_EQ(part.count, 2);
  EXPECT_EQ(part[1], 0x0605u);
  expect_error([&] { narrow.part(1, 5); }, "TokenRow: part [1, 5); expected one of [0, 4)");
}

TEST(TokenSource, Rejections) {
  const TokenRow row = token_row({0, 1, 2});
  expect_error([&] { TokenSource(row, 0, 3); }, "context is 0; expected at least 1");
  expect_error([&] { TokenSource(row, 2, 0); }, "vocabulary is 0; expected 1 to 2147483647");
  expect_error([&] { TokenSource(row.part(0, 1), 2, 3); }, "1 tokens; expected at least 2");
  TokenSource small(token_row({0, 1, 70000}), 2, 3);
  small.begin_epoch({0}, 0);
  expect_error([&] { small.fetch(0, 1, 0); },
               "TokenSource: token 70000 at place 2; expected 0 to 2");
}

}  // namespace
}  // namespace limbeck::testing
