// SPDX-License-Identifier: Apache-2.0
// Tests of what peers teach each other, some against PyTorch (tools/peers/parity/ensemble.py).
#include <limbeck/distill/ensemble.h>

#include <numeric>

#include <limbeck/kernels/softmax.h>
#include <limbeck/tests/fixture.h>

namespace limbeck::testing {
namespace {

class EnsembleTest : public DeviceTest {
 protected:
  Tensor enter(const Tensor& t) const {
    return (is_floating(t.dtype()) ? t.to(dtype()) : t).to(device());
  }
  std::vector<Tensor> peers() const {
    const Fixture given("ensemble", "given");
    return {enter(given["peer0"]), enter(given["peer1"]), enter(given["peer2"])};
  }
  Tensor labels() const { return enter(Fixture("ensemble", "given")["labels"]); }
};
LIMBECK_INSTANTIATE_FULL_PRECISION_TEST(EnsembleTest);

TEST_P(EnsembleTest, AgreesWithPyTorch) {
  const Fixture targets("ensemble", "targets");
  const auto expect = [&](const EnsembleOptions& options, const char* name, double tolerance) {
    expect_close(ensemble_target(peers(), labels(), options), to_doubles(targets[name]), tolerance,
                 name);
  };
  expect({.kind = EnsembleKind::mean_probabilities, .tau = 3}, "mean_probabilities", 1e-5);
  expect({.kind = EnsembleKind::naive}, "naive", 0);
  expect({.kind = EnsembleKind::min_logit}, "min_logit", 1e-5);
  // Two searches for a flat minimum, neither of which ends in it.
  expect({.kind = EnsembleKind::linear}, "linear", 5e-3);
}

TEST_P(EnsembleTest, MeansAndGeneral) {
  const std::vector<Tensor> two = {make({1, 2}, {1, 2}), make({3, 6}, {1, 2})};
  expect_close(ensemble_target(two, {}), {2, 4}, 0);
  expect_close(ensemble_target(two, {}, {.kind = EnsembleKind::general, .weights = {0.25, 0.75}}),
               {2.5, 5}, tolerance());
}

TEST_P(EnsembleTest, GeneralWeightsAgreeWithPyTorch) {
  expect_no_launch();  // solved on the host
  const std::vector<double> expected =
      to_doubles(Fixture("ensemble", "targets")["general_weights"]);
  expect_close(general_weights(peers(), labels()), expected, 1e-5);
}

/// Logits of which softmax is p, 1 - p.
Tensor certainty(const std::vector<double>& p) {
  std::vector<double> z;
  for (const double x : p) {
    z.push_back(std::log(x));
    z.push_back(std::log(1 - x));
  }
  return Tensor::from(z, {static_cast<std::int64_t>(p.size()), 2});
}

// Label 0; errors p - 1 of (0.8, 0.6) are (-0.2, -0.4) and those of (0.6, 0.8) (-0.4, -0.2), each
// twice with both signs: C = 2 (0.20, 0.16; 0.16, 0.20), so by symmetry 1/2 each. Of three times
// the error in the same sample (0.9: -0.1, 0.7: -0.3), C = 2 (0.01, 0.03; 0.03, 0.09) is singular:
// 3 p1 - p2 errs 0, with weights 3/2 and -1/2.
TEST(Ensemble, GeneralWeightsHandNumbers) {
  const Tensor two = Tensor::zeros({2}, DType::i32), one = Tensor::zeros({1}, DType::i32);
  expect_close(general_weights({certainty({0.8, 0.6}), certainty({0.6, 0.8})}, two), {0.5, 0.5},
               1e-9);
  expect_close(general_weights({certainty({0.9}), certainty({0.7})}, one), {1.5, -0.5}, 1e-6);
}

TEST(Ensemble, GeneralWeightsErrLeast) {
  std::vector<Tensor> logits;
  for (std::uint64_t i = 0; i < 3; ++i)
    logits.push_back(Tensor::from(random_values(160, 2, i), {40, 4}));
  std::vector<std::int32_t> label;
  for (std::int32_t n = 0; n < 40; ++n) label.push_back(n % 4);
  const std::vector<double> best = general_weights(logits, Tensor::from(label, {40}));
  EXPECT_NEAR(std::accumulate(best.begin(), best.end(), 0.0), 1, 1e-12);
  const auto error = [&](const std::vector<double>& w) {
    std::vector<double> mixed(160, 0);
    for (std::size_t i = 0; i < 3; ++i) {
      Tensor p = logits[i].clone();
      softmax_forward(p, p);
      const std::vector<double> values = to_doubles(p);
      for (std::size_t j = 0; j < 160; ++j) mixed[j] += w[i] * values[j];
    }
    double sum = 0;
    for (std::size_t j = 0; j < 160; ++j) {
      const double d = mixed[j] - (static_cast<std::int32_t>(j % 4) == label[j / 4] ? 1 : 0);
      sum += d * d;
    }
    return sum;
  };
  for (const double step : {1e-3, 0.1, -0.1})
    for (std::size_t i = 0; i < 3; ++i) {
      std::vector<double> other = best;
      other[i] += step;
      other[(i + 1) % 3] -= step;
      EXPECT_LT(error(best), error(other));
    }
}

TEST(Ensemble, GeneralWeightsOfEqualAndPerfectPeers) {
  const Tensor z = certainty({0.8, 0.3}), labels = Tensor::zeros({2}, DType::i32);
  expect_close(general_weights({z, z, z}, labels), {1. / 3, 1. / 3, 1. / 3}, 1e-6);
  const Tensor sure = Tensor::from(std::vector<double>{1e4, 0, 1e4, 0}, {2, 2});
  expect_close(general_weights({sure, sure}, labels), {0.5, 0.5}, 1e-9);
}

TEST(Ensemble, GeneralWeightsLeaveOutIgnoredRows) {
  const Tensor a = certainty({0.8, 0.6, 0.01}), b = certainty({0.6, 0.8, 0.99});
  const Tensor labels = Tensor::from(std::vector<std::int32_t>{0, 0, -100}, {3});
  expect_close(general_weights({a, b}, labels), {0.5, 0.5}, 1e-9);
}

TEST(Ensemble, Rejections) {
  const Tensor z = Tensor::zeros({2, 3});
  expect_error(
      [&] {
        ensemble_target({z, z}, {}, {.kind = EnsembleKind::general});
      },
      "ensemble_target: 0 weights of 2 peers; expected as many for the general kind");
  expect_error([&] { ensemble_target({z}, {}, {.kind = EnsembleKind::naive}); },
               "peer_target: labels is undefined");
  expect_error([&] { ensemble_target({}, {}); }, "ensemble_target: 0 peers");
  expect_error([&] { general_weights({z}, {}); }, "general_weights: labels is undefined");
  expect_error([&] { general_weights({z}, Tensor::full({2}, 3, DType::i32)); },
               "general_weights: label 0 is 3; expected 0 to 2 or -100");
}

}  // namespace
}  // namespace limbeck::testing
