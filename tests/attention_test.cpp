// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/attention.h>

#include <limits>

#include <limbeck/tests/attention_reference.h>
#include <limbeck/tests/same_bits.h>

namespace limbeck::testing {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

struct Tensors {
  Tensor y, lse, dq, dk, dv;
};

class AttentionTest : public DeviceTest {
 protected:
  Tensors run(const AttentionCase& c, const Tensor& q, const Tensor& k, const Tensor& v,
              const Tensor& dy) const {
    const DType wide = dtype() == DType::f64 ? DType::f64 : DType::f32;
    Tensors r{make_like(c.query_shape()), Tensor::full({c.N, c.H, c.T}, 777, wide, device()),
              make_like(c.query_shape()), make_like(c.key_shape()), make_like(c.key_shape())};
    const Tensor lengths =
        c.lengths.empty() ? Tensor() : Tensor::from(c.lengths, {c.N}).to(device());
    const AttentionOptions options{c.scale, c.causal, c.dropout};
    attention_forward(r.y, r.lse, q, k, v, lengths, options);
    attention_backward(r.dq, r.dk, r.dv, dy, r.y, r.lse, q, k, v, lengths, options);
    return r;
  }
  Tensor random(const Shape& shape, std::uint64_t seed) const {
    return make(random_values(shape.numel(), 1.5, seed), shape);
  }
  // Scores are sums of D products and gradients sums of T or S: some 8 roundings. In 16 bits the
  // backward reads an output that is rounded.
  void compare(const AttentionCase& c) const {
    const Tensor q = random(c.query_shape(), 1), k = random(c.key_shape(), 2),
                 v = random(c.key_shape(), 3), dy = random(c.query_shape(), 4);
    const AttentionResult expected =
        attention_reference(c, to_doubles(q), to_doubles(k), to_doubles(v), to_doubles(dy));
    const Tensors r = run(c, q, k, v, dy);
    expect_close(r.y, expected.y, tolerance(), c.name() + " y");
    const std::vector<double> lse = to_doubles(r.lse);
    for (std::size_t i = 0; i < lse.size(); ++i) {
      const bool equal = lse[i] == expected.lse[i];  // also both -inf
      ASSERT_TRUE(equal ||
                  std::abs(lse[i] - expected.lse[i]) < (dtype() == DType::f64 ? 1e-12 : 2e-5))
          << c.name() << " lse " << i;
    }
    expect_close(r.dq, expected.dq, 4 * tolerance(), c.name() + " dq");
    expect_close(r.dk, expected.dk, 4 * tolerance(), c.name() + " dk");
    expect_close(r.dv, expected.dv, 4 * tolerance(), c.name() + " dv");
  }
};
LIMBECK_INSTANTIATE_DEVICE_TEST(AttentionTest);

TEST_P(AttentionTest, HandNumbers) {
  // Scores (ln 3, 0): p = (3/4,1/4), lse = ln 4, y = 3/4 * 1 + 1/4 * 5 = 2. With dy = 1: dv = p;
  // dP = (1,5), less p . dP = 2: dS = (-3/4,3/4); dq = -3/4 k_0 + 3/4 k_1, dk = dS q.
  const AttentionCase c{.N = 1, .T = 1, .S = 2, .H = 1, .G = 1, .D = 1, .scale = 1};
  const Tensors r = run(c, make({std::log(3.0)}, {1, 1, 1, 1}), make({1, 0}, {1, 2, 1, 1}),
                        make({1, 5}, {1, 2, 1, 1}), make({1}, {1, 1, 1, 1}));
  expect_close(r.y, {2}, tolerance());
  expect_close(r.lse, {std::log(4.0)}, tolerance());
  expect_close(r.dq, {-0.75}, 2 * tolerance());
  expect_close(r.dk, {-0.75 * std::log(3.0), 0.75 * std::log(3.0)}, 2 * tolerance());
  expect_close(r.dv, {0.75, 0.25}, tolerance());
}

TEST_P(AttentionTest, MatchesDefinitionAtEveryBlockEdge) {
  // Widths below, at and above a register and a warp; queries and keys likewise for a block.
  compare({1, 1, 1, 1, 1, 3});
  compare({2, 5, 7, 2, 2, 8});
  compare({1, 16, 33, 1, 1, 33});
  compare({1, 33, 32, 2, 1, 16});
  compare({1, 3, 40, 1, 1, 65});
  compare({1, 2, 5, 1, 1, 130});
  if (device().is_cuda()) return;
  compare({2, 33, 97, 4, 2, 32});
  compare({1, 257, 193, 1, 1, 64});
}

TEST_P(AttentionTest, MatchesDefinitionCausalGroupedAndPadded) {
  compare({1, 40, 40, 2, 2, 8, true});
  compare({2, 9, 9, 4, 2, 5, true, {9, 4}});
  compare({1, 3, 37, 1, 1, 4, true});  // the last three queries of a longer sequence
  compare({1, 37, 3, 1, 1, 4, true});  // the first 34 queries see nothing
  compare({3, 6, 35, 2, 1, 8, false, {35, 1, 0}});
  if (!device().is_cuda()) compare({1, 200, 200, 2, 1, 32, true, {150}});
}

TEST_P(AttentionTest, MatchesDefinitionWithDropout) {
  const AttentionDropout dropout = {0.3, {.seed = 5, .step = 2, .layer = 1}, 3};
  compare({1, 1, 6, 1, 1, 3, false, {}, 0, dropout});
  compare({2, 9, 38, 4, 2, 5, false, {}, 0, dropout});
  compare({2, 33, 33, 2, 1, 8, true, {33, 21}, 0, dropout});
  if (!device().is_cuda()) compare({1, 65, 195, 1, 1, 33, true, {}, 0, dropout});
}

// 19200 probabilities of 1/40 each, which the mask leaves adding up to 1 on average: a query's sum
// has a deviation of sqrt(p / ((1 - p) 40)) = 0.1, their mean over 480 one of 0.005.
TEST_P(AttentionTest, DropoutKeepsTheMean) {
  const AttentionCase c{2, 60, 40, 4, 1, 1, false, {}, 0, {0.3, {.seed = 1}, 0}};
  const Tensor q = make(std::vector<double>(480, 0), c.query_shape());
  const Tensor k = make(std::vector<double>(80, 1), c.key_shape());
  double mean = 0;
  for (const double y : to_doubles(run(c, q, k, k, q).y)) mean += y / 480;
  EXPECT_NEAR(mean, 1, 0.03);
}

TEST_P(AttentionTest, DropoutOfAMicroBatchContinuesTheWholeBatchs) {
  AttentionCase c{3, 5, 7, 2, 1, 4, false, {}, 0, {0.4, {.seed = 2}, 0}};
  const Tensor q = random(c.query_shape(), 1), k = random(c.key_shape(), 2);
  const Tensors whole = run(c, q, k, k, q);
  c.N = 2;
  c.dropout.first_sequence = 1;
  const Tensors part = run(c, q.rows(1, 3), k.rows(1, 3), k.rows(1, 3), q.rows(1, 3));
  EXPECT_TRUE(same_bytes(part.y, whole.y.rows(1, 3)));
  EXPECT_TRUE(same_bytes(part.dq, whole.dq.rows(1, 3)));
  EXPECT_TRUE(same_bytes(part.dk, whole.dk.rows(1, 3)));
  EXPECT_TRUE(same_bytes(part.dv, whole.dv.rows(1, 3)));
}

TEST_P(AttentionTest, AQueryThatSeesNoKeyIsZeroAndMovesNothing) {
  const AttentionCase c{1, 2, 3, 1, 1, 4, false, {0}};
  const Tensor x = random(c.query_shape(), 1), k = random(c.key_shape(), 2);
  const Tensors r = run(c, x, k, k, x);
  for (const Tensor& t : {r.y, r.dq, r.dk, r.dv})
    for (double e : to_doubles(t)) EXPECT_EQ(e, 0);
  for (double e : to_doubles(r.lse)) EXPECT_EQ(e, -kInf);
}

TEST_P(AttentionTest, EqualValuesComeBackAndLargeScoresStayFinite) {
  const AttentionCase c{1, 5, 40, 1, 1, 4, false, {}, 1000};
  const Tensors r =
      run(c, random(c.query_shape(), 1), random(c.key_shape(), 2),
          make(std::vector<double>(160, 2), c.key_shape()), random(c.query_shape(), 3));
  expect_close(r.y, std::vector<double>(20, 2), tolerance());
  for (const Tensor& t : {r.lse, r.dq, r.dk, r.dv})
    for (double e : to_doubles(t)) EXPECT_TRUE(std::isfinite(e));
}

TEST_P(AttentionTest, NanSpoilsTheQueriesThatSeeIt) {
  const AttentionCase c{1, 4, 4, 1, 1, 2, true};
  std::vector<double> keys = random_values(8, 1, 2);
  keys[2 * 2] = std::nan("");
  const Tensor q = random(c.query_shape(), 1);
  const std::vector<double> y = to_doubles(run(c, q, make(keys, c.key_shape()), q, q).y);
  for (std::size_t i = 0; i < 8; ++i) EXPECT_EQ(std::isnan(y[i]), i >= 4) << i;
}

TEST_P(AttentionTest, PartsOfOneTensorAreReadAndWrittenInPlace) {
  // 4 query heads, 2 of keys, 2 of values: (N,T,8,D) against three tensors.
  const AttentionCase c{2, 5, 5, 4, 2, 3, true};
  const std::vector<double> all = random_values(2 * 5 * 8 * 3, 1.5, 1);
  const auto part = [&](std::int64_t first, std::int64_t count) {
    std::vector<double> out;
    for (std::size_t i = 0; i < all.size(); ++i)
      if (const std::int64_t head = i / 3 % 8; head >= first && head < first + count)
        out.push_back(all[i]);
    return make(out, {2, 5, count, 3});
  };
  const Tensor qkv = make(all, {2, 5, 8, 3}), dy = random(c.query_shape(), 2);
  const Tensors apart = run(c, part(0, 4), part(4, 2), part(6, 2), dy);
  Tensor y = make_like(c.query_shape()), dqkv = make_like(qkv.shape());
  Tensor lse = Tensor::empty_like(apart.lse);
  const Heads q(qkv, 0, 4), k(qkv, 4, 2), v(qkv, 6, 2);
  attention_forward(y, lse, q, k, v, {}, {.causal = true});
  attention_backward(Heads(dqkv, 0, 4), Heads(dqkv, 4, 2), Heads(dqkv, 6, 2), dy, y, lse, q, k, v,
                     {}, {.causal = true});
  EXPECT_TRUE(same_bytes(y, apart.y));
  const std::vector<double> g = to_doubles(dqkv), dq = to_doubles(apart.dq),
                            dk = to_doubles(apart.dk), dv = to_doubles(apart.dv);
  for (std::size_t row = 0; row < 10; ++row)
    for (std::size_t i = 0; i < 24; ++i)
      EXPECT_EQ(g[row * 24 + i], i < 12   ? dq[row * 12 + i]
                                 : i < 18 ? dk[row * 6 + i - 12]
                                          : dv[row * 6 + i - 18]);
}

TEST_P(AttentionTest, NoQueries) {
  expect_no_launch();
  const AttentionCase c{0, 2, 2, 1, 1, 4};
  const Tensor x = make({}, c.query_shape());
  EXPECT_EQ(run(c, x, x, x, x).y.numel(), 0);
}

TEST(Attention, SameBitsForThreadsAndInstructionSets) {
  expect_same_bits([] {
    const AttentionCase c{2, 70, 130, 4, 2, 20, true, {130, 100}};
    const auto random = [](const Shape& shape, std::uint64_t seed) {
      return Tensor::from(random_values(shape.numel(), 1.5, seed), shape).to(DType::f32);
    };
    const Tensor q = random(c.query_shape(), 1), k = random(c.key_shape(), 2),
                 v = random(c.key_shape(), 3), lengths = Tensor::from(c.lengths, {2});
    Tensor y = Tensor::empty_like(q), lse = Tensor::empty({2, 4, 70}), dq = Tensor::empty_like(q),
           dk = Tensor::empty_like(k), dv = Tensor::empty_like(k);
    const AttentionOptions options = {.causal = true, .dropout = {0.2, {.seed = 4}, 0}};
    attention_forward(y, lse, q, k, v, lengths, options);
    attention_backward(dq, dk, dv, q, y, lse, q, k, v, lengths, options);
    return std::vector{y, lse, dq, dk, dv};
  });
}

TEST(Attention, Rejections) {
  Tensor x = Tensor::zeros({2, 3, 4, 5}), lse = Tensor::zeros({2, 4, 3});
  const auto forward = [&](const Heads& q, const Heads& k, const Heads& v,
                           const Tensor& lengths = {}, const AttentionOptions& options = {}) {
    attention_forward(x, lse, q, k, v, lengths, options);
  };
  expect_error([&] { Heads(Tensor::zeros({2, 3, 4})); }, "Heads: tensor has shape (2,3,4)");
  expect_error([&] { Heads(x, 3, 2); }, "Heads: 2 from 3 on of 4; expected no more than there are");
  const Tensor three = Tensor::zeros({2, 3, 3, 5});
  expect_error([&] { forward(x, three, three); },
               "q has shape (2,3,4,5), k (2,3,3,5); expected (N,T,H,D) and (N,S,G,D)");
  expect_error(
      [&] {
        forward(x, Tensor::zeros({1, 3, 4, 5}), x);
      },
      "k has shape (1,3,4,5); expected (2,3,4,5)");
  expect_error([&] { forward(x, x, three); }, "v has shape (2,3,3,5); expected (2,3,4,5)");
  expect_error([&] { forward(x, x, x.to(DType::bf16)); }, "v is bf16 on cpu, q f32 on cpu");
  const Tensor whole = Tensor::zeros({2, 3, 4, 5}, DType::i32);
  expect_error([&] { forward(whole, whole, whole); }, "q is i32; expected a floating dtype");
  expect_error([&] { forward(x, x, x, Tensor::zeros({3}, DType::i32)); },
               "lengths is i32(3) on cpu; expected i32(2) on cpu");
  expect_error([&] { forward(x, x, x, {}, {.scale = -1}); }, "scale is -1; expected > 0");
  expect_error([&] { forward(x, x, x, {}, {.dropout = {.p = 1}}); },
               "attention_forward: dropout is 1 from sequence 0 on; expected 0 <= p < 1");
  expect_error([&] { forward(x, x, x, {}, {.dropout = {.p = 0.1, .first_sequence = 1 << 30}}); },
               "expected fewer than 2^34 probabilities");
  expect_error([&] { attention_forward(three, lse, x, x, x); }, "y has shape (2,3,3,5)");
  expect_error([&] { attention_forward(x, x, x, x, x); },
               "lse is f32(2,3,4,5) on cpu; expected f32(2,4,3)");
  expect_error([&] { attention_backward(x, three, x, x, x, lse, x, x, x); },
               "attention_backward: dk has shape (2,3,3,5); expected (2,3,4,5)");
}

}  // namespace
}  // namespace limbeck::testing
