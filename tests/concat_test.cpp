// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/concat.h>

#include <limbeck/tests/same_bits.h>

namespace limbeck::testing {
namespace {

class ConcatTest : public DeviceTest {};
LIMBECK_INSTANTIATE_DEVICE_TEST(ConcatTest);

// What comes from where, by counting through three nested loops.
std::vector<double> sliced(const std::vector<double>& x, std::int64_t rows, std::int64_t middle,
                           std::int64_t inner, std::int64_t begin, std::int64_t end) {
  std::vector<double> part;
  for (std::int64_t n = 0; n < rows; ++n)
    for (std::int64_t m = begin; m < end; ++m)
      for (std::int64_t c = 0; c < inner; ++c) part.push_back(x[(n * middle + m) * inner + c]);
  return part;
}

TEST_P(ConcatTest, HandNumbers) {
  const Tensor a = make({1, 2}, {2, 1}), b = make({3, 4, 5, 6}, {2, 2});
  Tensor wide = make_like({2, 3}), tall = make_like({4, 2}), part = make_like({2, 1});
  concat(wide, {a, b}, -1);
  expect_close(wide, {1, 3, 4, 2, 5, 6}, 0);
  concat(tall, {b, b}, 0);
  expect_close(tall, {3, 4, 5, 6, 3, 4, 5, 6}, 0);
  slice(part, wide, 1, 2);
  expect_close(part, {4, 6}, 0);
  place(wide, a, 1, 1, Out::add);
  expect_close(wide, {1, 4, 4, 2, 7, 6}, 0);
  place(wide, a, 1, 0);
  expect_close(wide, {1, 4, 4, 2, 7, 6}, 0);
}

// Widths of whole 16 bytes and others, on every axis.
TEST_P(ConcatTest, MatchesDefinitionAndPutsBackWhatItTook) {
  for (const std::int64_t inner : {1, 3, 8})
    for (int axis = 0; axis < 3; ++axis) {
      const Shape shape = axis == 0   ? Shape{20, 4, inner}
                          : axis == 1 ? Shape{4, 20, inner}
                                      : Shape{2, inner, 20};
      const std::int64_t rows = axis == 0 ? 1 : axis == 1 ? 4 : 2 * inner;
      const std::int64_t unit = axis == 0 ? 4 * inner : axis == 1 ? inner : 1;
      const Tensor x = make(random_values(shape.numel()), shape);
      std::vector<Tensor> parts;
      for (const auto& [begin, end] : {std::pair{0, 8}, {8, 16}, {16, 19}, {19, 20}}) {
        Tensor part = make_like(axis == 0   ? Shape{end - begin, 4, inner}
                                : axis == 1 ? Shape{4, end - begin, inner}
                                            : Shape{2, inner, end - begin});
        slice(part, x, axis - 3, begin);
        expect_close(part, sliced(to_doubles(x), rows, 20, unit, begin, end), 0);
        parts.push_back(part);
      }
      Tensor y = make_like(shape);
      concat(y, parts, axis);
      EXPECT_TRUE(same_bytes(x, y)) << shape << " axis " << axis;
    }
}

TEST_P(ConcatTest, AddsToItsPartAndLeavesTheRest) {
  const Tensor part = make(random_values(4 * 8, 1, 2), {4, 8});
  Tensor x = make(random_values(4 * 24), {4, 24});
  auto expected = to_doubles(x);
  const auto added = to_doubles(part);
  for (int n = 0; n < 4; ++n)
    for (int c = 0; c < 8; ++c) expected[n * 24 + 8 + c] += added[n * 8 + c];
  place(x, part, -1, 8, Out::add);
  expect_close(x, expected, tolerance());
}

TEST_P(ConcatTest, EmptyParts) {
  expect_no_launch();
  Tensor part = make_like({2, 0}), x = make_like({2, 3}), before = make_like({2, 3});
  slice(part, x, 1, 3);
  place(x, part, 1, 0);
  EXPECT_TRUE(same_bytes(x, before));
}

TEST(Concat, SameBitsForThreadsAndInstructionSets) {
  const Tensor x = Tensor::from(random_values(300 * 301), {300, 301}).to(DType::f32);
  const Tensor more = Tensor::from(random_values(300 * 150), {300, 150}).to(DType::f32);
  expect_same_bits([&] {
    Tensor y = Tensor::empty({300, 451}), part = Tensor::empty({300, 200});
    concat(y, {x, more}, 1);
    place(y, more, 1, 100, Out::add);
    slice(part, y, 1, 90);
    return std::vector{y, part};
  });
}

TEST(Concat, Rejections) {
  Tensor x = Tensor::zeros({2, 3}), part = Tensor::zeros({2, 2});
  expect_error([&] { slice(part, x, 2, 0); }, "slice: axis is 2 of (2,3); expected -2 to 1");
  expect_error([&] { slice(part, x, 1, 2); }, "slice: elements 2 to 4 of 3 along axis 1");
  expect_error([&] { slice(part, x, 0, 0); },
               "slice: a part is f32(2,2) on cpu, x f32(2,3) on cpu; expected equal ones but for "
               "axis 0");
  expect_error([&] { place(x, Tensor(), 0, 0); }, "place: a tensor is undefined");
  expect_error([&] { place(x, part.to(DType::f64), 1, 0); }, "place: a part is f64(2,2)");
  expect_error([&] { concat(x, {part}, 1); },
               "concat: the parts have 2 elements along axis 1, y (2,3); expected equally many");
  Tensor ids = Tensor::zeros({2, 3}, DType::i32);
  expect_error([&] { slice(ids, ids, 0, 0); }, "slice: x is i32; expected a floating dtype");
}

}  // namespace
}  // namespace limbeck::testing
