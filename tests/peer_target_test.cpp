// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/peer_target.h>

#include <limits>

#include <limbeck/kernels/cross_entropy.h>
#include <limbeck/tests/same_bits.h>

namespace limbeck::testing {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
using Row = std::vector<double>;

double log_sum(const Row& z, double tau = 1) {
  const double max = *std::max_element(z.begin(), z.end());
  double sum = 0;
  for (const double x : z) sum += std::exp((x - max) / tau);
  return max / tau + std::log(sum);
}

Row row_of(const Tensor& t, std::int64_t n) { return to_doubles(t.rows(n, n + 1)); }

class PeerTargetTest : public DeviceTest {
 protected:
  std::vector<Tensor> make_peers(std::size_t K, const Shape& shape, double scale = 3) const {
    std::vector<Tensor> peers;
    for (std::size_t i = 0; i < K; ++i)
      peers.push_back(make(random_values(shape.numel(), scale, 20 + i), shape));
    return peers;
  }
  Tensor labels(const std::vector<std::int32_t>& values) const {
    return Tensor::from(values, {static_cast<std::int64_t>(values.size())}, device());
  }
  Tensor run(const std::vector<Tensor>& peers, const Tensor& label,
             const PeerTargetOptions& options) const {
    Tensor target = make_like(peers[0].shape());
    peer_target(target, peers, label, options);
    return target;
  }
};
LIMBECK_INSTANTIATE_DEVICE_TEST(PeerTargetTest);

TEST_P(PeerTargetTest, WeightedHandNumbers) {
  const std::vector<Tensor> peers = {make({1, 2, -4}, {1, 3}), make({3, 6, 8}, {1, 3})};
  expect_close(run(peers, {}, {}), {2, 4, 2}, 0);  // the mean
  expect_close(run(peers, {}, {.weights = {2, -0.5}}), {0.5, 1, -12}, 0);
}

// softmax(log 3, 0) = (3/4, 1/4) and (1/2, 1/2) have the mean (5/8, 3/8); two logits that are equal
// stay as they are less their log-sum-exp.
TEST_P(PeerTargetTest, MeanProbabilitiesHandNumbers) {
  const std::vector<Tensor> peers = {make({std::log(3.0), 0}, {1, 2}), make({0, 0}, {1, 2})};
  const PeerTargetOptions options = {.kind = PeerTarget::mean_probabilities};
  expect_close(run(peers, {}, options), {std::log(0.625), std::log(0.375)}, 2 * tolerance());
}

// Losses of label 0: log(1 + e^-1), log(1 + e^-2), log(1 + e^1): the second peer. Of label 1 the
// third. Where all are equal, the first.
TEST_P(PeerTargetTest, LowestLossHandNumbers) {
  const std::vector<Tensor> peers = {make({1, 0, 1, 0, 7, 7}, {3, 2}),
                                     make({3, 1, 3, 1, 8, 8}, {3, 2}),
                                     make({-1, 0, -1, 0, 9, 9}, {3, 2})};
  const Tensor target = run(peers, labels({0, 1, 0}), {.kind = PeerTarget::lowest_loss});
  expect_close(target, {3, 1, -1, 0, 7, 7}, 0);
}

// Less the label's: (0, 1, -1) and (0, -3, 2): the least is (0, -3, -1).
TEST_P(PeerTargetTest, MinLogitHandNumbers) {
  const std::vector<Tensor> peers = {make({2, 3, 1}, {1, 3}), make({4, 1, 6}, {1, 3})};
  expect_close(run(peers, labels({0}), {.kind = PeerTarget::min_logit}), {0, -3, -1}, 0);
}

// z1 = (2, 0, 0), z2 = (0, 2, -2) with label 0 and the weight w of z1: the first alone, w = 1, has
// the loss log(1 + 2 e^-2); the slope there is 2p1 - 2p2 + 2p3 - 2 < 0. A peer that is worse in
// everything has no weight at all, so the target is the other's logits to the bit.
TEST_P(PeerTargetTest, BestMixtureLeavesOutWhatOnlyHarms) {
  const std::vector<Tensor> peers = {make({2, 0, 0}, {1, 3}), make({0, 2, -2}, {1, 3})};
  const PeerTargetOptions options = {.kind = PeerTarget::best_mixture};
  expect_close(run(peers, labels({0}), options), {2, 0, 0}, 0);
}

// Each peer mistakes another class for the label; by symmetry half of each is best:
// (2, 3, 0) and (2, 0, 3) make (2, 1.5, 1.5).
TEST_P(PeerTargetTest, BestMixtureOfComplements) {
  const std::vector<Tensor> peers = {make({2, 3, 0}, {1, 3}), make({2, 0, 3}, {1, 3})};
  const PeerTargetOptions options = {.kind = PeerTarget::best_mixture};
  expect_close(run(peers, labels({0}), options), {2, 1.5, 1.5}, std::max(tolerance(), 2e-6));
}

// No mixture on a grid has a smaller loss.
TEST_P(PeerTargetTest, BestMixtureIsTheBest) {
  for (const std::int64_t V : {3, 40}) {
    const std::vector<Tensor> peers = make_peers(3, {2, V});
    const std::vector<std::int32_t> label = {1, static_cast<std::int32_t>(V - 1)};
    const Tensor target = run(peers, labels(label), {.kind = PeerTarget::best_mixture});
    for (std::int64_t n = 0; n < 2; ++n) {
      const auto y = static_cast<std::size_t>(label[static_cast<std::size_t>(n)]);
      const auto loss = [&](const Row& z) { return log_sum(z) - z[y]; };
      const Row a = row_of(peers[0], n), b = row_of(peers[1], n), c = row_of(peers[2], n);
      double least = kInf;
      for (int i = 0; i <= 40; ++i)
        for (int j = 0; i + j <= 40; ++j) {
          Row z(a.size());
          for (std::size_t v = 0; v < z.size(); ++v)
            z[v] = (i * a[v] + j * b[v] + (40 - i - j) * c[v]) / 40;
          least = std::min(least, loss(z));
        }
      // Pairs in turn come within 1e-4 of the least; a target in 16 bits is rounded besides.
      const double rounding = dtype_size(dtype()) == 2 ? 6 * tolerance() : 0;
      EXPECT_LE(loss(row_of(target, n)), least + 1e-4 + rounding) << V << " row " << n;
    }
  }
}

TEST_P(PeerTargetTest, AgreesWithItsFormulasInEverySize) {
  for (const std::int64_t V : {1, 31, 129, 300})
    for (const std::size_t K : {1u, 2u, 8u}) {
      const std::int64_t N = 3;
      const double tau = 4;
      const std::vector<Tensor> peers = make_peers(K, {N, V});
      std::vector<std::int32_t> label;
      for (std::int64_t n = 0; n < N; ++n) label.push_back(static_cast<std::int32_t>(5 * n % V));
      Row mean, smallest, lowest;
      for (std::int64_t n = 0; n < N; ++n) {
        const auto y = static_cast<std::size_t>(label[static_cast<std::size_t>(n)]);
        std::vector<Row> z;
        for (const Tensor& peer : peers) z.push_back(row_of(peer, n));
        std::size_t best = 0;
        for (std::size_t i = 1; i < K; ++i)
          if (log_sum(z[i]) - z[i][y] < log_sum(z[best]) - z[best][y]) best = i;
        lowest.insert(lowest.end(), z[best].begin(), z[best].end());
        for (std::size_t v = 0; v < z[0].size(); ++v) {
          double p = 0, least = kInf;
          for (const Row& row : z) {
            p += std::exp(row[v] / tau - log_sum(row, tau)) / static_cast<double>(K);
            least = std::min(least, row[v] - row[y]);
          }
          mean.push_back(tau * std::log(p));
          smallest.push_back(least);
        }
      }
      const Tensor y = labels(label);
      expect_close(run(peers, {}, {.kind = PeerTarget::mean_probabilities, .tau = tau}), mean,
                   2 * tolerance());
      expect_close(run(peers, y, {.kind = PeerTarget::min_logit}), smallest, tolerance());
      expect_close(run(peers, y, {.kind = PeerTarget::lowest_loss}), lowest, 0);
    }
}

TEST_P(PeerTargetTest, OnePeerIsItsOwnTeacher) {
  const std::vector<Tensor> one = make_peers(1, {2, 5});
  const Tensor y = labels({0, 4});
  for (const PeerTarget kind :
       {PeerTarget::weighted, PeerTarget::lowest_loss, PeerTarget::best_mixture})
    EXPECT_TRUE(same_bytes(run(one, y, {.kind = kind}), one[0]));
}

// Peers in another order are the same teacher.
TEST_P(PeerTargetTest, TheOrderOfPeersDoesNotMatter) {
  const std::vector<Tensor> peers = make_peers(2, {2, 33});
  const std::vector<Tensor> turned = {peers[1], peers[0]};
  const Tensor y = labels({2, 30});
  for (const PeerTarget kind : {PeerTarget::lowest_loss, PeerTarget::min_logit})
    EXPECT_TRUE(same_bytes(run(peers, y, {.kind = kind}), run(turned, y, {.kind = kind})));
  for (const PeerTarget kind : {PeerTarget::mean_probabilities, PeerTarget::best_mixture})
    expect_close(run(peers, y, {.kind = kind}), to_doubles(run(turned, y, {.kind = kind})),
                 std::max(tolerance(), 4e-6));
}

TEST_P(PeerTargetTest, AnIgnoredRowIsTheMean) {
  const std::vector<Tensor> peers = {make({1, 2}, {1, 2}), make({3, 6}, {1, 2})};
  for (const PeerTarget kind :
       {PeerTarget::lowest_loss, PeerTarget::best_mixture, PeerTarget::min_logit})
    expect_close(run(peers, labels({kIgnoreIndex}), {.kind = kind}), {2, 4}, 0);
}

TEST_P(PeerTargetTest, ImpossibleClassesAndLargeLogits) {
  const std::vector<Tensor> peers = {make({1e4, 0, -kInf}, {1, 3}), make({0, 1e4, -kInf}, {1, 3})};
  const Row mean = to_doubles(run(peers, {}, {.kind = PeerTarget::mean_probabilities}));
  EXPECT_NEAR(mean[0], std::log(0.5), 0.01);
  EXPECT_NEAR(mean[1], std::log(0.5), 0.01);
  EXPECT_EQ(mean[2], -kInf);
}

TEST_P(PeerTargetTest, ALabelOutOfRangeThrowsOrGivesNan) {
  const std::vector<Tensor> peers = make_peers(2, {1, 2});
  const auto make_target = [&] { return run(peers, labels({2}), {.kind = PeerTarget::min_logit}); };
  if (!device().is_cuda()) return expect_error(make_target, "peer_target: label 0 is 2; expected");
  EXPECT_TRUE(std::isnan(to_doubles(make_target())[0]));
}

TEST_P(PeerTargetTest, NoRows) {
  expect_no_launch();
  EXPECT_EQ(run(make_peers(2, {0, 3}), labels({}), {.kind = PeerTarget::lowest_loss}).numel(), 0);
}

TEST(PeerTarget, SameBitsForThreadsAndInstructionSets) {
  expect_same_bits([] {
    std::vector<Tensor> peers, results;
    for (std::uint64_t i = 0; i < 3; ++i)
      peers.push_back(Tensor::from(random_values(20 * 301, 3, i), {20, 301}).to(DType::f32));
    const Tensor labels = Tensor::full({20}, 7, DType::i32);
    for (const PeerTarget kind :
         {PeerTarget::weighted, PeerTarget::mean_probabilities, PeerTarget::lowest_loss,
          PeerTarget::best_mixture, PeerTarget::min_logit}) {
      results.push_back(Tensor::empty({20, 301}));
      peer_target(results.back(), peers, labels, {.kind = kind, .tau = 3});
    }
    return results;
  });
}

TEST(PeerTarget, Rejections) {
  const Tensor z = Tensor::zeros({2, 3});
  Tensor target = Tensor::zeros({2, 3}), other = Tensor::zeros({2, 4}), none;
  expect_error([&] { peer_target(target, {}, {}, {}); }, "peer_target: 0 peers; expected 1 to 8");
  expect_error([&] { peer_target(other, {z}, {}, {}); }, "target is f32(2,4) on cpu, a peer f32");
  expect_error([&] { peer_target(none, {z}, {}, {}); }, "target is undefined");
  expect_error(
      [&] {
        peer_target(target, {z, z}, {}, {.weights = {1}});
      },
      "1 weights of 2 peers; expected as many");
  expect_error([&] { peer_target(target, {z}, {}, {.kind = PeerTarget::min_logit}); },
               "labels is undefined; expected (2) i32");
  expect_error(
      [&] { peer_target(target, {z}, {}, {.kind = PeerTarget::mean_probabilities, .tau = 0}); },
      "tau is 0; expected > 0");
}

}  // namespace
}  // namespace limbeck::testing
