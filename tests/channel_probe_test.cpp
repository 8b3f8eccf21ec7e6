// SPDX-License-Identifier: Apache-2.0
// Tests of what a layer of the receiver tells about the source's channels.
#include <limbeck/distill/channel_probe.h>

#include <limbeck/kernels/matmul.h>
#include <limbeck/tests/same_bits.h>

namespace limbeck::testing {
namespace {

/// Standard normal numbers, of two uniform ones each (Box and Muller).
std::vector<double> normal(std::int64_t n, std::uint64_t seed) {
  const std::vector<double> u = random_values(n, 1, seed), v = random_values(n, 1, seed + 1000);
  std::vector<double> z;
  for (std::size_t i = 0; i < u.size(); ++i)
    z.push_back(std::sqrt(-2 * std::log((u[i] + 1) / 2 + 1e-300)) *
                std::cos(3.141592653589793 * v[i]));
  return z;
}

double laplace(double u) { return (u < 0 ? 1 : -1) * std::log(1 - std::abs(u) + 1e-300); }

// 1/2 log(Var t / v) is the information of linear-Gaussian channels, -1/2 log(1 - rho^2): 0.5108
// for rho = 0.8; 0 for a channel of its own. 20000 rows leave some 0.01.
TEST(ChannelProbe, IsTheInformationOfGaussians) {
  const std::int64_t R = 20000;
  const std::vector<double> z = normal(R, 1), e = normal(R, 2), own = normal(R, 3);
  std::vector<double> s, t;
  for (std::size_t i = 0; i < z.size(); ++i) {
    s.insert(s.end(), {3 * z[i] + 5, own[i]});
    t.insert(t.end(), {7 * (0.8 * z[i] + 0.6 * e[i]) - 2, e[i], 1.5});
  }
  const ChannelProbe probe = probe_channels(Tensor::from(s, {R, 2}), Tensor::from(t, {R, 3}));
  EXPECT_EQ(probe.fitted, R / 2);
  EXPECT_EQ(probe.measured, R / 2);
  ASSERT_EQ(probe.channels.size(), 3u);
  EXPECT_NEAR(probe.channels[0].gauss_nats, 0.5108, 0.03);
  EXPECT_NEAR(probe.channels[1].gauss_nats, 0, 0.01);
  EXPECT_EQ(probe.channels[2].gauss_nats, 0);  // it does not vary
}

TEST(ChannelProbe, TellsTheTails) {
  const std::int64_t R = 20000;
  const std::vector<double> z = normal(R, 1), e = normal(R, 2), u = random_values(R, 1, 9);
  std::vector<double> t;
  for (std::size_t i = 0; i < z.size(); ++i) t.insert(t.end(), {z[i] + e[i], z[i] + laplace(u[i])});
  const ChannelProbe probe = probe_channels(Tensor::from(z, {R, 1}), Tensor::from(t, {R, 2}));
  EXPECT_GT(probe.channels[0].gauss_share, 0.8);
  EXPECT_LT(probe.channels[1].gauss_share, 0.2);
}

// Every linear map is seen through: all channels cross, up to the floor of the scales, and what was
// fitted on too few rows does not count as known.
TEST(ChannelProbe, OfALinearMapAndOfTooFewRows) {
  const std::int64_t R = 400;
  const Tensor s = Tensor::from(normal(R * 5, 1), {R, 5});
  const Tensor map = Tensor::from(random_values(5 * 7, 1, 3), {5, 7});
  Tensor t = Tensor::empty({R, 7}, DType::f64);
  matmul(t, s, Trans::no, map, Trans::no);
  for (const ChannelEntry& entry : probe_channels(s, t, 1e-9).channels)
    EXPECT_NEAR(entry.gauss_nats, 0.5 * std::log(1 / kScaleFloor), 0.2);
  const Tensor noise = Tensor::from(normal(40 * 30, 7), {40, 30});
  const Tensor other = Tensor::from(normal(40, 8), {40, 1});
  EXPECT_LT(probe_channels(noise, other).channels[0].gauss_nats, 0);
}

TEST(ChannelProbe, DtypesDevicesAndBits) {
  std::vector<double> values = normal(60 * 4, 1), others = normal(60 * 3, 5);
  for (auto* list : {&values, &others})
    for (double& v : *list) v = std::round(v * 16) / 16;
  const Tensor s = Tensor::from(values, {60, 4}), t = Tensor::from(others, {60, 3});
  const auto nats = [](const ChannelProbe& probe) {
    std::vector<double> list;
    for (const ChannelEntry& entry : probe.channels) list.push_back(entry.gauss_nats);
    return list;
  };
  EXPECT_EQ(nats(probe_channels(s.to(DType::f32), t.to(DType::bf16))), nats(probe_channels(s, t)));
  if (cuda_device_count() > 0) {
    EXPECT_EQ(nats(probe_channels(s.to(DType::f32).to(Device::cuda()), t)),
              nats(probe_channels(s, t)));
  }
  expect_same_bits([&] { return std::vector{Tensor::from(nats(probe_channels(s, t)), {3})}; });
}

TEST(ChannelProbe, Rejections) {
  const Tensor x = Tensor::zeros({8, 2});
  expect_error(
      [&] {
        probe_channels(x, Tensor::zeros({7, 2}));
      },
      "probe_channels: 8 rows of the receiver, 7 of the source; expected as many");
  expect_error([&] { probe_channels(x.rows(0, 3), x.rows(0, 3)); }, "at least 4");
  expect_error(
      [&] {
        probe_channels(x, Tensor::zeros({8, 2}, DType::i32));
      },
      "probe_channels: rows are i32 (8,2); expected floating (R,C)");
  expect_error(
      [&] {
        probe_channels(Tensor::zeros({8, 4097}), x);
      },
      "probe_channels: 4097 channels of the receiver; expected at most 4096");
  expect_error([&] { probe_channels(x, x, 0); }, "probe_channels: ridge is 0; expected above 0");
}

}  // namespace
}  // namespace limbeck::testing
