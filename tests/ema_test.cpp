// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/ema.h>

#include <limbeck/tests/same_bits.h>

namespace limbeck::testing {
namespace {

class EmaTest : public DeviceTest {
 protected:
  Tensor average(const std::vector<double>& v, const Shape& shape) const {
    const DType wide = dtype() == DType::f64 ? DType::f64 : DType::f32;
    return Tensor::from(v, shape).to(wide).to(device());
  }
};
LIMBECK_INSTANTIATE_DEVICE_TEST(EmaTest);

TEST_P(EmaTest, HandNumbers) {
  std::vector<EmaPair> pairs = {{average({4, 0}, {2}), make({8, -4}, {2})}};
  ema_step(pairs, 0.75);
  expect_close(pairs[0].value, {5, -1}, 1e-7);
  expect_close(pairs[0].source, {8, -4}, 0);
  ema_step(pairs, 1);
  expect_close(pairs[0].value, {5, -1}, 1e-7);
  ema_step(pairs, 0);
  expect_close(pairs[0].value, {8, -4}, 0);
}

// The average of a constant is that constant, to the bit; sizes around pieces and launches.
TEST_P(EmaTest, WhatIsThereStays) {
  std::vector<EmaPair> pairs;
  for (std::int64_t n : {0, 1, 1025, 40000}) {
    const Tensor source = make(random_values(n, 1, 7), {n});
    pairs.push_back({average(to_doubles(source), {n}), source});
  }
  ema_step(pairs, 0.999);
  for (const EmaPair& p : pairs) expect_close(p.value, to_doubles(p.source), 0);
}

TEST_P(EmaTest, FollowsEveryTensor) {
  std::vector<EmaPair> pairs;
  std::vector<std::vector<double>> expected;
  for (int i = 0; i < 70; ++i) {
    const auto old = random_values(33, 1, 2 * i), now = random_values(33, 1, 2 * i + 1);
    pairs.push_back({average(old, {33}), make(now, {33})});
    auto& e = expected.emplace_back(to_doubles(pairs.back().source));
    const auto before = to_doubles(pairs.back().value);
    for (std::size_t k = 0; k < e.size(); ++k) e[k] = 0.9 * before[k] + 0.1 * e[k];
  }
  ema_step(pairs, 0.9);
  // A few roundings of f32 whatever the source: it was rounded before.
  for (std::size_t i = 0; i < pairs.size(); ++i) expect_close(pairs[i].value, expected[i], 1e-6);
}

TEST(Ema, SameBitsForThreadsAndInstructionSets) {
  expect_same_bits([] {
    std::vector<EmaPair> pairs = {
        {Tensor::from(random_values(100000, 1, 1), {100000}).to(DType::f32),
         Tensor::from(random_values(100000, 1, 2), {100000}).to(DType::f32)}};
    ema_step(pairs, 0.99);
    return std::vector{pairs[0].value};
  });
}

TEST(Ema, Rejections) {
  const Tensor two = Tensor::zeros({2}), half = Tensor::zeros({2}, DType::f16);
  const auto refuses = [](std::vector<EmaPair> pairs, double decay, const std::string& message) {
    expect_error([&] { ema_step(pairs, decay); }, message);
  };
  refuses({}, 1.5, "ema_step: decay is 1.5; expected 0 to 1");
  refuses({{two, Tensor()}}, 0.5, "ema_step: pair 0 has an undefined tensor");
  refuses({{half, half}}, 0.5, "ema_step: pair 0 averages f16 in f16; expected f32");
  refuses({{two, Tensor::zeros({3})}}, 0.5, "pair 0 has value (2) on cpu, source (3) on cpu");
  refuses({{two, two}, {two, half}}, 0.5, "pair 1 is f16 on cpu, pair 0 f32 on cpu");
}

}  // namespace
}  // namespace limbeck::testing
