// SPDX-License-Identifier: Apache-2.0
// Tests of an ensemble with a gate, against PyTorch's (tools/peers/parity/ensemble.py) among
// others.
#include <limbeck/distill/gated_ensemble.h>

#include <limbeck/autograd/cross_entropy.h>
#include <limbeck/autograd/grad_check.h>
#include <limbeck/tests/fixture.h>

namespace limbeck::testing {
namespace {

class GatedEnsembleTest : public DeviceTest {
 protected:
  Tensor enter(const Tensor& t) const {
    return (is_floating(t.dtype()) ? t.to(dtype()) : t).to(device());
  }
  std::vector<Variable> make_peers(std::int64_t N, std::int64_t V) const {
    std::vector<Variable> peers;
    for (std::uint64_t i = 0; i < 3; ++i)
      peers.emplace_back(make(random_values(N * V, 2, i), {N, V}), true);
    return peers;
  }
  Tensor labels(const std::vector<std::int32_t>& values) const {
    return Tensor::from(values, {static_cast<std::int64_t>(values.size())}, device());
  }
};
LIMBECK_INSTANTIATE_FULL_PRECISION_TEST(GatedEnsembleTest);

TEST_P(GatedEnsembleTest, AgreesWithPyTorch) {
  const Fixture given("ensemble", "given"), expected("ensemble", "gated");
  std::vector<Variable> peers;
  for (const char* name : {"peer0", "peer1", "peer2"}) peers.emplace_back(enter(given[name]), true);
  GatedEnsemble ensemble(12, 3, 1, dtype(), device());
  std::vector<NamedParameter> gate = ensemble.parameters();
  gate[0].value.value().copy_from(enter(expected["w.weight"]));
  gate[1].value.value().copy_from(enter(expected["w.bias"]));
  expect_close(ensemble.gates(peers).value(), to_doubles(expected["gates"]), 1e-5, "gates");
  expect_close(ensemble.logits(peers).value(), to_doubles(expected["ensemble"]), 1e-5, "logits");
  const Variable loss = ensemble.loss(peers, enter(given["labels"]), {.tau = 3});
  expect_close(loss.value(), to_doubles(expected["loss"]), 1e-5, "loss");
  loss.backward();
  expect_close(gate[0].value.grad(), to_doubles(expected["dw.weight"]), 1e-4, "dw");
  expect_close(gate[1].value.grad(), to_doubles(expected["dw.bias"]), 1e-4, "db");
  for (std::size_t i = 0; i < 3; ++i)
    expect_close(peers[i].grad(), to_doubles(expected["dpeer" + std::to_string(i)]), 1e-4);
}

// A gate of zeros: the mean of the logits, whatever it sees.
TEST_P(GatedEnsembleTest, AGateThatKnowsNothingIsTheMean) {
  GatedEnsemble ensemble(2, 2, 1, dtype(), device());
  for (NamedParameter& p : ensemble.parameters()) p.value.value().fill(0);
  const std::vector<Variable> peers = {Variable(make({1, 2}, {1, 2})),
                                       Variable(make({3, 6}, {1, 2}))};
  const Variable x(make({5, -7}, {1, 2}));
  expect_close(ensemble.gates(peers, x).value(), {0.5, 0.5}, 0);
  expect_close(ensemble.logits(peers, x).value(), {2, 4}, 0);
}

// With the ensemble's own cross-entropy off, nothing reaches the gate: p_e is a constant.
TEST_P(GatedEnsembleTest, TheTargetGetsNoGradient) {
  GatedEnsemble ensemble(12, 3, 1, dtype(), device());
  const std::vector<Variable> peers = make_peers(2, 4);
  const GatedEnsembleOptions options = {.ensemble_weight = 0};
  ensemble.loss(peers, labels({1, 3}), options).backward();
  for (const NamedParameter& p : ensemble.parameters())
    expect_close(p.value.grad(),
                 std::vector<double>(static_cast<std::size_t>(p.value.value().numel()), 0), 0,
                 p.name);
}

// Without the divergence it is the cross-entropies and no more; peers that agree have none anyway.
TEST_P(GatedEnsembleTest, PeersThatAgreeTeachNothing) {
  GatedEnsemble ensemble(8, 2, 1, dtype(), device());
  const Tensor z = make(random_values(8, 2), {2, 4});
  const std::vector<Variable> peers = {Variable(z), Variable(z)};
  const Tensor y = labels({0, 2});
  const double ce = cross_entropy(peers[0], y).value().item();
  EXPECT_NEAR(ensemble.loss(peers, y).value().item(), 3 * ce, 10 * tolerance());
  EXPECT_NEAR(ensemble.loss(peers, y, {.peer_weight = 0}).value().item(), ce, 10 * tolerance());
}

TEST_P(GatedEnsembleTest, IgnoredRowsAreLeftOut) {
  GatedEnsemble ensemble(12, 3, 1, dtype(), device());
  const std::vector<Variable> peers = make_peers(2, 4);
  std::vector<Variable> first;
  for (const Variable& peer : peers) first.emplace_back(peer.value().rows(0, 1));
  const Variable loss = ensemble.loss(peers, labels({1, -100}));
  EXPECT_NEAR(loss.value().item(), ensemble.loss(first, labels({1})).value().item(),
              20 * tolerance());
  loss.backward();
  for (const Variable& peer : peers)
    expect_close(peer.grad().rows(1, 2), std::vector<double>(4, 0), 0);
}

// With respect to peers and to what the gate sees; the target is held at its value by a loss in
// which it has no weight.
TEST(GatedEnsemble, GradientCheck) {
  GatedEnsemble ensemble(3, 2, 5, DType::f64);
  const Tensor y = Tensor::from(std::vector<std::int32_t>{0, 3, 1}, {3});
  const auto loss = [&](std::span<const Variable> in) {
    return ensemble.loss({in[0], in[1]}, y, {.kd_weight = 0}, in[2]);
  };
  const GradCheckResult check = grad_check(loss, {Tensor::from(random_values(12, 2, 1), {3, 4}),
                                                  Tensor::from(random_values(12, 2, 2), {3, 4}),
                                                  Tensor::from(random_values(9, 1, 3), {3, 3})});
  EXPECT_LT(check.error, 1e-6) << check.where;
}

TEST(GatedEnsemble, IsAFunctionOfItsSeed) {
  GatedEnsemble a(4, 2, 1), b(4, 2, 1), c(4, 2, 2);
  EXPECT_EQ(a.parameters()[0].name, "gate.weight");
  EXPECT_TRUE(same_bytes(a.parameters()[0].value.value(), b.parameters()[0].value.value()));
  EXPECT_FALSE(same_bytes(a.parameters()[0].value.value(), c.parameters()[0].value.value()));
}

TEST(GatedEnsemble, Rejections) {
  GatedEnsemble ensemble(6, 2, 1);
  const Variable z(Tensor::zeros({1, 3}));
  expect_error([&] { ensemble.gates({z}); }, "GatedEnsemble: 1 peers; expected 2");
  expect_error([&] { ensemble.gates({z, z}, z); }, "Linear(6, 2): input has shape (1,3)");
}

}  // namespace
}  // namespace limbeck::testing
