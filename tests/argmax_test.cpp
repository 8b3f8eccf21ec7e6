// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/argmax.h>

#include <limits>

#include <limbeck/tests/same_bits.h>

namespace limbeck::testing {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

class ArgmaxTest : public DeviceTest {
 protected:
  std::vector<std::int32_t> argmax(const Tensor& x) const {
    Tensor index = Tensor::full({x.dim(0)}, -7, DType::i32, device());
    argmax_rows(index, x);
    return index.to_vector<std::int32_t>();
  }
};
LIMBECK_INSTANTIATE_DEVICE_TEST(ArgmaxTest);

TEST_P(ArgmaxTest, HandNumbers) {
  EXPECT_EQ(argmax(make({1, 3, 2, -1, -3, -2}, {2, 3})), (std::vector<std::int32_t>{1, 0}));
}

TEST_P(ArgmaxTest, FirstOfEqualsInfinitiesAndNan) {
  EXPECT_EQ(argmax(make({2,     5,     5,     1,      //
                         -kInf, -kInf, -kInf, -kInf,  //
                         1,     kInf,  kNan,  kNan,   //
                         -kInf, -1,    -kInf, -1,     //
                         -0.0,  0.0,   -1,    -1},
                        {5, 4})),
            (std::vector<std::int32_t>{1, 0, 2, 1, 0}));
}

TEST_P(ArgmaxTest, EveryWidth) {
  for (std::int64_t v : {1, 2, 10, 15, 16, 17, 31, 32, 33, 1000, 5000})
    for (std::int64_t n : {0, 1, 3, 128}) {
      const Tensor x = make(random_values(n * v, 1, 11), {n, v});
      const std::vector<double> values = to_doubles(x);
      std::vector<std::int32_t> expected;
      for (std::int64_t r = 0; r < n; ++r) {
        const auto row = values.begin() + r * v;
        expected.push_back(static_cast<std::int32_t>(std::max_element(row, row + v) - row));
      }
      EXPECT_EQ(argmax(x), expected) << n << " x " << v;
    }
}

TEST_P(ArgmaxTest, WinnerAtEveryPosition) {
  for (std::int64_t v : {16, 33, 100})
    for (std::int64_t at = 0; at < v; ++at) {
      std::vector<double> row(static_cast<std::size_t>(v), -3);
      row[static_cast<std::size_t>(at)] = at % 2 == 0 ? -1 : kNan;
      EXPECT_EQ(argmax(make(row, {1, v})), std::vector{static_cast<std::int32_t>(at)});
    }
}

TEST_P(ArgmaxTest, CountsEqualLabels) {
  for (std::int64_t n : {0, 1, 31, 32, 33, 1000, 100000}) {
    std::vector<std::int32_t> a, b;
    std::int64_t expected = 0;
    for (std::int64_t i = 0; i < n; ++i) {
      a.push_back(static_cast<std::int32_t>(i % 7));
      b.push_back(static_cast<std::int32_t>(i % 5));
      expected += a.back() == b.back();
    }
    Tensor count = Tensor::full({1}, 77, DType::i64, device());
    count_equal(count, Tensor::from(a, {n}, device()), Tensor::from(b, {n}, device()));
    EXPECT_EQ(count.to_vector<std::int64_t>()[0], expected) << n;
  }
}

TEST(Argmax, SameBitsForThreadsAndInstructionSets) {
  expect_same_bits([] {
    const Tensor x = Tensor::from(random_values(100 * 1000), {100, 1000}).to(DType::f32);
    Tensor index = Tensor::empty({100}, DType::i32);
    argmax_rows(index, x);
    return std::vector{index};
  });
}

TEST(Argmax, Rejections) {
  Tensor x = Tensor::zeros({2, 3}), index = Tensor::zeros({2}, DType::i32);
  Tensor wrong = Tensor::zeros({3}, DType::i32), count = Tensor::zeros({1}, DType::i64);
  expect_error([&] { argmax_rows(index, Tensor::zeros({2, 0})); }, "argmax_rows: x is f32(2,0)");
  expect_error([&] { argmax_rows(index, Tensor::zeros({6})); }, "argmax_rows: x is f32(6)");
  expect_error(
      [&] {
        argmax_rows(index, Tensor::zeros({2, 3}, DType::i32));
      },
      "argmax_rows: x is i32(2,3); expected a floating dtype");
  expect_error([&] { argmax_rows(wrong, x); },
               "argmax_rows: index is i32(3), x has shape (2,3); expected i32(N)");
  expect_error([&] { argmax_rows(x, x); }, "argmax_rows: index is f32(2,3)");
  expect_error([&] { argmax_rows(index, Tensor()); }, "argmax_rows: index or x is undefined");
  expect_error([&] { count_equal(count, index, wrong); },
               "count_equal: a is i32(2), b i32(3); expected equal i32(N)");
  expect_error([&] { count_equal(index, index, index); }, "count_equal: count is i32(2)");
  expect_error([&] { count_equal(count, index, Tensor()); },
               "count_equal: count, a or b is undefined");
}

}  // namespace
}  // namespace limbeck::testing
