// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/gated_sum.h>

#include <limbeck/kernels/elementwise.h>
#include <limbeck/tests/same_bits.h>

namespace limbeck::testing {
namespace {

class GatedSumTest : public DeviceTest {
 protected:
  std::vector<Tensor> make_peers(std::int64_t K, const Shape& shape) const {
    std::vector<Tensor> peers;
    for (std::int64_t i = 0; i < K; ++i)
      peers.push_back(
          make(random_values(shape.numel(), 1, static_cast<std::uint64_t>(10 + i)), shape));
    return peers;
  }
};
LIMBECK_INSTANTIATE_DEVICE_TEST(GatedSumTest);

// Row 0: 2 (1, 2) - (3, 4) = (-1, 0); row 1: 0.5 (5, 6) + (7, 8) = (9.5, 11).
TEST_P(GatedSumTest, HandNumbers) {
  const Tensor gates = make({2, -1, 0.5, 1}, {2, 2});
  const std::vector<Tensor> peers = {make({1, 2, 5, 6}, {2, 2}), make({3, 4, 7, 8}, {2, 2})};
  Tensor y = make_like({2, 2});
  gated_sum_forward(y, gates, peers);
  expect_close(y, {-1, 0, 9.5, 11}, 0);
  Tensor dgates = make_like({2, 2});
  std::vector<Tensor> dpeers = {make_like({2, 2}), make_like({2, 2})};
  gated_sum_backward(dgates, dpeers, make({1, 2, -1, 4}, {2, 2}), gates, peers);
  expect_close(dgates, {5, 11, 19, 25}, 0);  // 1+4, 3+8; -5+24, -7+32
  expect_close(dpeers[0], {2, 4, -0.5, 2}, 0);
  expect_close(dpeers[1], {-1, -2, -1, 4}, 0);
}

// A gate that is the same in all rows is a sum of scaled matrices.
TEST_P(GatedSumTest, AgreesWithScaledMatrices) {
  for (const std::int64_t V : {1, 31, 33, 300})
    for (const std::int64_t N : {1, 5})
      for (const std::int64_t K : {1, 3, 8}) {
        const std::vector<Tensor> peers = make_peers(K, {N, V});
        std::vector<double> weights = random_values(K, 1, 3), all;
        for (double& w : weights) w = std::round(8 * w) / 8;  // exact in every dtype
        for (std::int64_t n = 0; n < N; ++n) all.insert(all.end(), weights.begin(), weights.end());
        std::vector<double> expected(static_cast<std::size_t>(N * V), 0);
        for (std::int64_t i = 0; i < K; ++i) {
          const std::vector<double> x = to_doubles(peers[static_cast<std::size_t>(i)]);
          for (std::size_t j = 0; j < x.size(); ++j)
            expected[j] += weights[static_cast<std::size_t>(i)] * x[j];
        }
        Tensor y = make_like({N, V});
        gated_sum_forward(y, make(all, {N, K}), peers);
        expect_close(y, expected, tolerance());
      }
}

// <dy, gated_sum> is linear in each of its factors, so that its gradients give it back.
TEST_P(GatedSumTest, GradientsOfABilinearFunction) {
  for (const std::int64_t V : {1, 31, 33, 300}) {
    const std::int64_t N = 3, K = 3;
    const std::vector<Tensor> peers = make_peers(K, {N, V});
    const Tensor gates = make(random_values(N * K, 1, 4), {N, K});
    const Tensor dy = make(random_values(N * V, 1, 5), {N, V});
    Tensor dgates = make_like({N, K});
    std::vector<Tensor> dpeers(3);
    dpeers[1] = make_like({N, V});
    gated_sum_backward(dgates, dpeers, dy, gates, peers);
    const std::vector<double> g = to_doubles(gates), d = to_doubles(dy);
    std::vector<double> dg, dx;
    for (std::int64_t n = 0; n < N; ++n)
      for (std::int64_t i = 0; i < K; ++i) {
        const std::vector<double> x = to_doubles(peers[static_cast<std::size_t>(i)]);
        double sum = 0;
        for (std::int64_t v = 0; v < V; ++v)
          sum += d[static_cast<std::size_t>(n * V + v)] * x[static_cast<std::size_t>(n * V + v)];
        dg.push_back(sum);
      }
    for (std::int64_t n = 0; n < N; ++n)
      for (std::int64_t v = 0; v < V; ++v)
        dx.push_back(g[static_cast<std::size_t>(n * K + 1)] *
                     d[static_cast<std::size_t>(n * V + v)]);
    expect_close(dgates, dg, 2 * tolerance());
    expect_close(dpeers[1], dx, tolerance());
    EXPECT_FALSE(dpeers[0].defined());
    Tensor none;
    std::vector<Tensor> others = {make_like({N, V}), Tensor(), Tensor()};
    gated_sum_backward(none, others, dy, gates, peers);
    EXPECT_NE(to_doubles(others[0])[0], 777);
  }
}

TEST_P(GatedSumTest, NoRows) {
  expect_no_launch();
  const std::vector<Tensor> peers = make_peers(2, {0, 3});
  const Tensor gates = make_like({0, 2});
  Tensor y = make_like({0, 3}), dgates = make_like({0, 2});
  gated_sum_forward(y, gates, peers);
  std::vector<Tensor> dpeers = {make_like({0, 3}), Tensor()};
  gated_sum_backward(dgates, dpeers, y, gates, peers);
}

TEST(GatedSum, SameBitsForThreadsAndInstructionSets) {
  expect_same_bits([] {
    std::vector<Tensor> peers;
    for (std::uint64_t i = 0; i < 3; ++i)
      peers.push_back(Tensor::from(random_values(70 * 301, 1, i), {70, 301}).to(DType::f32));
    const Tensor gates = Tensor::from(random_values(210, 1, 7), {70, 3}).to(DType::f32);
    Tensor y = Tensor::empty({70, 301}), dgates = Tensor::empty({70, 3});
    gated_sum_forward(y, gates, peers);
    std::vector<Tensor> dpeers = {Tensor::empty({70, 301}), Tensor(), Tensor::empty({70, 301})};
    gated_sum_backward(dgates, dpeers, y, gates, peers);
    return std::vector{y, dgates, dpeers[0], dpeers[2]};
  });
}

TEST(GatedSum, Rejections) {
  const Tensor x = Tensor::zeros({2, 3}), gates = Tensor::zeros({2, 1});
  Tensor y = Tensor::zeros({2, 3}), dgates;
  expect_error([&] { gated_sum_forward(y, gates, {}); }, "gated_sum_forward: 0 peers; expected 1");
  expect_error([&] { gated_sum_forward(y, gates, std::vector<Tensor>(9, x)); }, "9 peers");
  expect_error(
      [&] {
        gated_sum_forward(y, gates, {x, x});
      },
      "gates is f32(2,1) on cpu; expected f32(2,2) on cpu");
  expect_error([&] { gated_sum_forward(y, Tensor(), {x}); }, "gates is undefined");
  expect_error(
      [&] {
        gated_sum_forward(y, Tensor::zeros({2, 2}), {x, Tensor::zeros({2, 4})});
      },
      "a peer is f32(2,4) on cpu, the first f32(2,3)");
  std::vector<Tensor> none;
  expect_error([&] { gated_sum_backward(dgates, none, x, gates, {x}); },
               "gated_sum_backward: 0 gradients of 1 peers");
}

}  // namespace
}  // namespace limbeck::testing
