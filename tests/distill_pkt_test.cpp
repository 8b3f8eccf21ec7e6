// SPDX-License-Identifier: Apache-2.0
// Probabilistic knowledge transfer.
#include <limbeck/distill/pkt.h>

#include <limbeck/autograd/grad_check.h>
#include <limbeck/tests/fixture.h>

namespace limbeck::testing {
namespace {

class PktTest : public DeviceTest {
 protected:
  Tensor random(const Shape& shape, std::uint64_t seed) const {
    return make(random_values(shape.numel(), 1, seed), shape);
  }
};
LIMBECK_INSTANTIATE_FULL_PRECISION_TEST(PktTest);

struct Outcome {
  Tensor loss, gradient;
};

Outcome compare(const Tensor& receiver, const Tensor& source) {
  Pkt technique({receiver.dim(1)}, {source.dim(1)});
  const Variable tap(receiver, true);
  const Variable loss =
      technique.loss(tap, technique.encode(source), static_cast<double>(receiver.dim(0)));
  loss.backward();
  return {loss.value(), tap.grad()};
}

// Receiver (2,0), (0,1), (0,3): cosines 0, 0 and 1: p of sample 0 are 1/2, 1/2, of the others 1/3,
// 2/3. Source 1, 1, -1: cosines 1, -1, -1: p all but 1, 0; 1, 0 and 1/2, 1/2.
TEST_P(PktTest, HandNumbers) {
  const Tensor source = make({1, 1, -1}, {3, 1});
  const Outcome r = compare(make({2, 0, 0, 1, 0, 3}, {3, 2}), source);
  const double expected = std::log(2) + std::log(3) + 0.5 * std::log(1.5) + 0.5 * std::log(0.75);
  // The least similarity is 1e-7, which leaves 1e-7 log 1e-7 of a term.
  expect_close(r.loss, {expected / 3}, 1e-5);
  expect_close(Pkt({2}, {1}).encode(source), {1, 1, -1}, 2e-6);
}

TEST_P(PktTest, AgreesWithThePaperInPyTorch) {
  const Fixture fixture("relations", "probabilities");
  const auto enter = [&](const char* key) { return fixture[key].to(dtype()).to(device()); };
  const Outcome r = compare(enter("x0"), enter("t"));
  expect_close(r.loss, to_doubles(fixture["y"]), 1e-5);
  expect_close(r.gradient, to_doubles(fixture["dx0"]), 1e-4);
}

TEST_P(PktTest, LengthsDoNotMatterAndEqualNeighboursAreTheMinimum) {
  const Tensor t = random({5, 4}, 2);
  std::vector<double> longer = to_doubles(t);
  for (std::size_t i = 0; i < longer.size(); ++i) longer[i] *= 1 << (i / 4);  // row by row
  const Outcome r = compare(make(longer, {5, 4}), t);
  expect_close(r.loss, {0}, 0);  // powers of two change no direction's bits
  expect_close(r.gradient, std::vector<double>(20, 0), 0);
}

TEST_P(PktTest, TheSourceGetsNoGradient) {
  Pkt technique({3}, {2, 2});
  const Variable source(random({4, 2, 2}, 2), true), receiver(random({4, 3}, 1), true);
  technique.loss(receiver, technique.encode(source.value()), 4).backward();
  EXPECT_FALSE(source.grad().defined());
  EXPECT_TRUE(receiver.grad().defined());
  EXPECT_FALSE(technique.per_sample());
}

TEST(Pkt, Gradient) {  // 1e-6: h^2 f'''/6
  Pkt technique({2, 3}, {4});
  const Tensor t = Tensor::from(random_values(20, 1, 2), {5, 4});
  const auto result =
      grad_check([&](auto v) { return technique.loss(v[0], technique.encode(t), 5); },
                 {Tensor::from(random_values(30, 1, 1), {5, 2, 3})});
  EXPECT_LT(result.error, 1e-6) << result.where;
}

TEST(Pkt, Rejections) {
  Pkt technique({2}, {3});
  const Variable tap(Tensor::zeros({4, 2}));
  expect_error(
      [&] {
        technique.encode(Tensor::zeros({4, 2}));
      },
      "pkt: source's tap has shape (4,2)");
  expect_error([&] { technique.loss(tap, Tensor::zeros({4, 2}), 4); }, "pkt: code has shape (4,2)");
  expect_error(
      [&] {
        technique.loss(tap, Tensor::zeros({4, 3}), 2);
      },
      "pkt: mean over 2 samples of a batch of 4; expected all of them");
}

}  // namespace
}  // namespace limbeck::testing
