// SPDX-License-Identifier: Apache-2.0
// Items come in the order asked for, whatever the threads do.
#include <limbeck/tools/read_ahead.h>

#include <atomic>
#include <numeric>

#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

/// Item i is the bytes 2i and 2i + 1.
void load_pair(std::int32_t item, std::uint8_t* bytes) {
  bytes[0] = static_cast<std::uint8_t>(2 * item);
  bytes[1] = static_cast<std::uint8_t>(2 * item + 1);
}

std::vector<std::uint8_t> take(ReadAhead& items, std::size_t first, std::size_t last) {
  std::vector<std::uint8_t> bytes(2 * (last - first));
  items.take(first, last, bytes.data());
  return bytes;
}

std::vector<std::uint8_t> pairs(const std::vector<std::int32_t>& items) {
  std::vector<std::uint8_t> bytes(2 * items.size());
  for (std::size_t i = 0; i < items.size(); ++i) load_pair(items[i], bytes.data() + 2 * i);
  return bytes;
}

TEST(ReadAhead, KeepsTheOrderForAnyThreadsAndCapacity) {
  std::vector<std::int32_t> order(100);
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<std::int32_t>(i * 37 % 100);
  for (const int threads : {1, 2, 5})
    for (const std::size_t capacity : {1, 3, 200}) {
      ReadAhead items(2, load_pair, threads, capacity);
      items.begin(order);
      std::vector<std::uint8_t> all;
      for (std::size_t first = 0; first < 100; first += 30) {
        const auto part = take(items, first, std::min<std::size_t>(first + 30, 100));
        all.insert(all.end(), part.begin(), part.end());
      }
      EXPECT_EQ(all, pairs(order));
    }
}

TEST(ReadAhead, AnyPlaceAnyTimeAndANewOrder) {
  ReadAhead items(2, load_pair, 2, 4);
  items.begin({5, 6, 7, 8, 9});
  EXPECT_EQ(take(items, 3, 5), pairs({8, 9}));
  EXPECT_EQ(take(items, 0, 2), pairs({5, 6}));
  EXPECT_EQ(take(items, 0, 1), pairs({5}));
  items.begin({1, 2});
  EXPECT_EQ(take(items, 0, 2), pairs({1, 2}));
  items.begin({3, 4});
  EXPECT_EQ(take(items, 1, 2), pairs({4}));
  EXPECT_TRUE(take(items, 1, 1).empty());
}

TEST(ReadAhead, NeverMoreThanItsCapacityAhead) {
  std::atomic<int> loaded = 0;
  ReadAhead items(
      2, [&](std::int32_t item, std::uint8_t* bytes) { ++loaded, load_pair(item, bytes); }, 3, 4);
  std::vector<std::int32_t> order(50);
  std::iota(order.begin(), order.end(), 0);
  items.begin(order);
  EXPECT_EQ(loaded, 0);
  for (std::size_t i = 0; i < 40; ++i) {
    take(items, i, i + 1);
    EXPECT_LE(loaded, static_cast<int>(i) + 1 + 4);
  }
}

TEST(ReadAhead, TheFirstErrorInTheOrderIsThrown) {
  const auto load = [](std::int32_t item, std::uint8_t* bytes) {
    if (item >= 3) throw std::runtime_error("item " + std::to_string(item));
    load_pair(item, bytes);
  };
  ReadAhead items(2, load, 4);
  items.begin({1, 4, 3, 2});
  expect_error<std::runtime_error>([&] { take(items, 0, 4); }, "item 4");
  EXPECT_EQ(take(items, 3, 4), pairs({2}));
  EXPECT_EQ(take(items, 0, 1), pairs({1}));
}

TEST(ReadAhead, Rejections) {
  expect_error([] { ReadAhead(2, load_pair, 0); }, "ReadAhead: threads is 0, capacity 256");
  expect_error([] { ReadAhead(2, load_pair, 1, 0); }, "ReadAhead: threads is 1, capacity 0");
  ReadAhead items(2, load_pair, 1);
  items.begin({1, 2});
  expect_error([&] { take(items, 1, 3); }, "ReadAhead: places 1 to 3 of an order of 2");
}

}  // namespace
}  // namespace limbeck::testing
