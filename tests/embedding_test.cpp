// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/embedding.h>

#include <cmath>

#include <limbeck/core/dispatch.h>
#include <limbeck/tests/same_bits.h>

namespace limbeck::testing {
namespace {

std::vector<std::int32_t> some_ids(std::int64_t N, std::int64_t V) {
  std::vector<std::int32_t> ids;
  for (std::int64_t n = 0; n < N; ++n) ids.push_back(static_cast<std::int32_t>(n * 7 / 2 % V));
  return ids;
}

class EmbeddingTest : public DeviceTest {
 protected:
  Tensor ids(const std::vector<std::int32_t>& values, const Shape& shape) const {
    return Tensor::from(values, shape, device());
  }
};
LIMBECK_INSTANTIATE_DEVICE_TEST(EmbeddingTest);

// The tokens (1,0,1) of the table (1,2), (3,4), (5,6); row 1 sums two gradients, row 2 none.
TEST_P(EmbeddingTest, HandNumbers) {
  const Tensor weight = make({1, 2, 3, 4, 5, 6}, {3, 2}), tokens = ids({1, 0, 1}, {1, 3});
  Tensor y = make_like({1, 3, 2}), dweight = make_like({3, 2});
  embedding_forward(y, weight, tokens);
  expect_close(y, {3, 4, 1, 2, 3, 4}, 0);
  const Tensor dy = make({1, 2, 3, 4, 5, 6}, {1, 3, 2});
  embedding_backward(dweight, dy, tokens);
  expect_close(dweight, {3, 4, 6, 8, 0, 0}, 0);
  embedding_backward(dweight, dy, tokens, -1, Out::add);
  expect_close(dweight, {6, 8, 12, 16, 0, 0}, 0);
}

// Widths of one element, of no whole vector, of whole ones and of more than one tile of columns.
TEST_P(EmbeddingTest, MatchesDefinition) {
  const std::int64_t N = 300;
  for (const std::int64_t V : {1, 5, 700})
    for (const std::int64_t D : {1, 3, 8, 72}) {
      const auto tokens = some_ids(N, V);
      const Tensor weight = make(random_values(V * D), {V, D});
      const Tensor dy = make(random_values(N * D, 1, 2), {N, D});
      const auto table = to_doubles(weight), rows = to_doubles(dy);
      std::vector<double> picked, sums(static_cast<std::size_t>(V * D));
      for (std::int64_t n = 0; n < N; ++n)
        for (std::int64_t c = 0; c < D; ++c) {
          picked.push_back(table[tokens[n] * D + c]);
          sums[tokens[n] * D + c] += rows[n * D + c];
        }
      Tensor y = make_like({N, D}), dweight = make_like({V, D});
      embedding_forward(y, weight, ids(tokens, {N}));
      expect_close(y, picked, 0);
      embedding_backward(dweight, dy, ids(tokens, {N}));
      // A chain of 300 sums in f32 has 300 roundings, of half an ulp each at most.
      expect_close(dweight, sums, tolerance() + (dtype() == DType::f64 ? 0 : 300 * 0x1p-24));
    }
}

// Tables of whole vectors, and of single elements: one launch for all, the bits of each alone.
TEST_P(EmbeddingTest, JoinedTablesHaveTheBitsOfEachApart) {
  const std::int64_t N = 50;
  for (const std::vector<std::int64_t>& widths :
       {std::vector<std::int64_t>{8, 64, 16}, {3, 8, 1}}) {
    std::vector<EmbeddingPart> parts;
    for (const std::int64_t D : widths) {
      const std::int64_t V = 7 + D;
      parts.push_back({make_like({N, D}), make(random_values(V * D, 1, parts.size()), {V, D})});
    }
    const Tensor tokens = ids(some_ids(N, 7), {N});
    const auto before = cuda_launch_count();
    joined_embedding_forward(parts, tokens);
    EXPECT_EQ(cuda_launch_count() - before, device().is_cuda() ? 1u : 0u);
    for (const EmbeddingPart& part : parts) {
      Tensor apart = make_like(part.y.shape());
      embedding_forward(apart, part.weight, tokens);
      EXPECT_TRUE(same_bytes(part.y, apart)) << part.weight.shape();
    }
  }
}

TEST_P(EmbeddingTest, PaddingGetsNoGradient) {
  const auto tokens = some_ids(20, 4);
  const Tensor dy = make(random_values(20 * 3), {20, 3});
  Tensor all = make_like({4, 3}), dweight = make_like({4, 3});
  embedding_backward(all, dy, ids(tokens, {20}));
  embedding_backward(dweight, dy, ids(tokens, {20}), 3);
  auto expected = to_doubles(all);
  EXPECT_NE(expected[9], 0);
  std::fill(expected.begin() + 9, expected.end(), 0);
  expect_close(dweight, expected, 0);
  Tensor kept = make_like({4, 3});
  embedding_backward(kept, dy, ids(tokens, {20}), 3, Out::add);
  EXPECT_EQ(to_doubles(kept)[9], to_doubles(make_like({1}))[0]);
}

TEST_P(EmbeddingTest, PartsOfABatchAddUpToTheWhole) {
  const auto tokens = some_ids(50, 7);
  const Tensor dy = make(random_values(50 * 5), {50, 5}), all = ids(tokens, {50});
  Tensor whole = make_like({7, 5}), parts = make_like({7, 5});
  embedding_backward(whole, dy, all);
  embedding_backward(parts, dy.rows(0, 20), all.rows(0, 20));
  embedding_backward(parts, dy.rows(20, 50), all.rows(20, 50), -1, Out::add);
  // To the bit, but that a half is rounded after each part.
  expect_close(parts, to_doubles(whole), dtype_size(dtype()) < 4 ? tolerance() : 0);
}

TEST_P(EmbeddingTest, NoTokens) {
  Tensor dweight = make_like({3, 2});
  embedding_backward(dweight, make({}, {0, 2}), ids({}, {0}));
  expect_close(dweight, std::vector<double>(6), 0);
  Tensor y = make({}, {0, 2});
  embedding_forward(y, dweight, ids({}, {0}));
}

TEST_P(EmbeddingTest, IdsOutOfRange) {
  const Tensor weight = make({1, 2, 3, 4}, {2, 2}), tokens = ids({1, 2, -1}, {3});
  Tensor y = make_like({3, 2}), dweight = make_like({2, 2});
  const Tensor dy = make({1, 2, 3, 4, 5, 6}, {3, 2});
  if (!device().is_cuda()) {
    expect_error([&] { embedding_forward(y, weight, tokens); },
                 "embedding_forward: id 1 is 2; expected 0 to 1");
    expect_error([&] { embedding_backward(dweight, dy, tokens); },
                 "embedding_backward: id 1 is 2; expected 0 to 1");
    return;
  }
  embedding_forward(y, weight, tokens);
  const auto values = to_doubles(y);
  EXPECT_EQ(values[1], 4);
  for (int i = 2; i < 6; ++i) EXPECT_TRUE(std::isnan(values[i])) << i;
  embedding_backward(dweight, dy, tokens);
  expect_close(dweight, {0, 0, 1, 2}, 0);
}

TEST(Embedding, SameBitsForThreadsAndInstructionSets) {
  const std::int64_t N = 3000, V = 900, D = 70;
  const Tensor weight = Tensor::from(random_values(V * D), {V, D}).to(DType::f32);
  const Tensor dy = Tensor::from(random_values(N * D), {N, D}).to(DType::f32);
  const Tensor ids = Tensor::from(some_ids(N, V), {N});
  expect_same_bits([&] {
    Tensor y = Tensor::empty({N, D}), dweight = Tensor::empty({V, D});
    embedding_forward(y, weight, ids);
    embedding_backward(dweight, dy, ids);
    return std::vector{y, dweight};
  });
}

TEST(Embedding, Rejections) {
  Tensor w = Tensor::zeros({4, 2}), y = Tensor::zeros({3, 2});
  const Tensor ids = Tensor::zeros({3}, DType::i32);
  const auto forward = [](Tensor out, const Tensor& weight, const Tensor& tokens) {
    return [=]() mutable { embedding_forward(out, weight, tokens); };
  };
  expect_error(forward(y, w, Tensor()), "embedding_forward: weight, y or ids is undefined");
  expect_error(forward(y, Tensor::zeros({4}), ids),
               "embedding_forward: weight is f32(4); expected a floating (V,D)");
  expect_error(forward(y, w, Tensor::zeros({3}, DType::i64)),
               "embedding_forward: ids is i64; expected i32");
  expect_error(forward(Tensor::zeros({3, 3}), w, ids),
               "embedding_forward: y is f32(3,3), ids (3), weight f32(4,2); expected (...,D)");
  expect_error(forward(Tensor::zeros({3, 2}, DType::f64), w, ids), "y is f64(3,2)");
  std::vector<EmbeddingPart> parts = {{y, w},
                                      {Tensor::zeros({3, 2}, DType::f64), w.to(DType::f64)}};
  expect_error([&] { joined_embedding_forward({}, ids); },
               "joined_embedding: 0 parts; expected 1 to 8");
  expect_error([&] { joined_embedding_forward(parts, ids); },
               "joined_embedding: weights are f32 and f64; expected one dtype");
  parts[1] = {Tensor::zeros({2, 2}), w};
  expect_error([&] { joined_embedding_forward(parts, ids); },
               "joined_embedding: y is f32(2,2), ids (3), weight f32(4,2); expected (...,D)");
  expect_error([&] { embedding_backward(w, y, ids, 4); },
               "embedding_backward: padding_idx is 4; expected -1 to 3");
}

}  // namespace
}  // namespace limbeck::testing
