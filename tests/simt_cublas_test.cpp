// SPDX-License-Identifier: Apache-2.0
// What the emulated GPU's cuBLASLt makes of a description of a product: right ones are computed as
// they stand, wrong ones refused by name or, where the library could not know, seen in the numbers.
#include <gtest/gtest.h>

#include <functional>

#include <limbeck/kernels/cublas.h>
#include <limbeck/tests/device_test.h>

namespace limbeck {
namespace {

using cublas::Epilogue;
using cublas::Matrix;
using cublas::Product;
using testing::expect_close;
using testing::expect_error;

constexpr Device kGpu = Device::cuda();

// c (2 x 3) = a (2 x 4) b (4 x 3), each with a leading dimension of 5; small whole
// numbers, so results are exact in every dtype.
class SimtCublasTest : public ::testing::Test {
 protected:
  SimtCublasTest() {
    p_.call = "test";
    p_.a = {a_.raw(), DType::f32, 2, 4, 5};
    p_.b = {b_.raw(), DType::f32, 4, 3, 5};
    p_.c = {c_.raw(), DType::f32, 2, 3, 5};
  }

  static Tensor numbers(std::int64_t n, int step) {
    std::vector<float> v;
    for (std::int64_t i = 0; i < n; ++i) v.push_back(static_cast<float>(i * step % 7 - 3));
    return Tensor::from(v, {n}, kGpu);
  }
  /// What multiply has to leave in c_ when it takes the matrices as given here.
  std::vector<double> expected(const Product& p) const {
    const auto a = testing::to_doubles(a_), b = testing::to_doubles(b_);
    auto c = testing::to_doubles(c_);
    const auto at = [](const std::vector<double>& v, const Matrix& m, bool transpose,
                       std::int64_t i, std::int64_t j) {
      return v[static_cast<std::size_t>(transpose ? j + i * m.leading : i + j * m.leading)];
    };
    const std::int64_t depth = p.transpose_a ? p.a.rows : p.a.columns;
    for (std::int64_t j = 0; j < p.c.columns; ++j)
      for (std::int64_t i = 0; i < p.c.rows; ++i) {
        double sum = 0;
        for (std::int64_t k = 0; k < depth; ++k)
          sum += at(a, p.a, p.transpose_a, i, k) * at(b, p.b, p.transpose_b, k, j);
        double& to = c[static_cast<std::size_t>(i + j * p.c.leading)];
        to = p.alpha * sum + p.beta * to;
      }
    return c;
  }
  void expect_computed(const Product& p) {
    const std::vector<double> after = expected(p);
    cublas::multiply(p);
    expect_close(c_, after, 0);
  }
  void expect_refused(const std::function<void(Product&)>& spoil, const std::string& part) {
    Product p = p_;
    spoil(p);
    expect_error<CudaError>([&] { cublas::multiply(p); }, "test: " + part);
  }

  Tensor a_ = numbers(20, 3), b_ = numbers(20, 5), c_ = numbers(15, 2);
  Product p_;
};

TEST_F(SimtCublasTest, ComputesFromPointersAndLeadingDimensions) {
  expect_computed(p_);
  p_.alpha = 2;
  p_.beta = -1;
  expect_computed(p_);
}

TEST_F(SimtCublasTest, Transposes) {
  p_.a = {a_.raw(), DType::f32, 4, 2, 6};
  p_.transpose_a = true;
  expect_computed(p_);
  p_.b = {b_.raw(), DType::f32, 3, 4, 4};
  p_.transpose_b = true;
  expect_computed(p_);
}

TEST_F(SimtCublasTest, AWrongLeadingDimensionIsAnErrorOrShowsInTheNumbers) {
  expect_refused([](Product& p) { p.a.leading = 1; },
                 "a has leading dimension 1; expected at least its 2 rows");
  expect_refused([](Product& p) { p.b.leading = 10; }, "b is f32(3,4) with strides (10,1) at ");
  const std::vector<double> right = expected(p_);
  p_.a.leading = 4;
  cublas::multiply(p_);
  EXPECT_NE(testing::to_doubles(c_), right);
}

TEST_F(SimtCublasTest, MatricesOutsideTheirMemory) {
  const auto outside = [&](const std::string& name, Matrix Product::*m) {
    const std::string part = name + " is f32(";
    expect_refused([&](Product& p) { (p.*m).p = nullptr; }, part);
    expect_refused([&](Product& p) { (p.*m).p = &p; }, part);  // host memory
    expect_refused([&](Product& p) { (p.*m).p = static_cast<char*>((p.*m).p) + 40; }, part);
  };
  outside("a", &Product::a);
  outside("b", &Product::b);
  outside("c", &Product::c);
  expect_refused([&](Product& p) { p.a.p = static_cast<char*>(p.a.p) + 1; }, "a is ");
}

TEST_F(SimtCublasTest, ShapesAndDtypes) {
  expect_refused([](Product& p) { p.transpose_b = true; },
                 "op(a) is 2 x 4, op(b) 3 x 4; expected m x k and k x n");
  expect_refused([](Product& p) { p.c.columns = 2; }, "c is 2 x 2; expected 2 x 3");
  expect_refused([](Product& p) { p.a.columns = 0; }, "a is 2 x 0; expected at least 1 x 1");
  expect_refused([](Product& p) { p.a.dtype = DType::f16; }, "a is f16, b f32; expected equal");
  expect_refused([](Product& p) { p.c.dtype = DType::bf16; },
                 "c is bf16; expected f32 as a and b, or f32");
  expect_refused([](Product& p) { p.b.dtype = DType::f64; }, "b is f64; expected f32, bf16 or f16");
  expect_refused(
      [](Product& p) {
        p.a.dtype = p.b.dtype = DType::bf16;
        p.tf32 = true;
      },
      "TF32 with a in bf16; expected f32");
}

TEST_F(SimtCublasTest, Epilogues) {
  const Tensor bias = Tensor::from(std::vector<float>{-20, 30}, {2}, kGpu);
  const std::vector<double> plain = expected(p_);
  const auto with = [&](const Epilogue epilogue, double b0, double b1, bool relu) {
    Product p = p_;
    p.epilogue = epilogue;
    p.bias = b0 != 0 ? bias.raw() : nullptr;
    std::vector<double> after = plain;
    for (std::size_t j = 0; j < 15; j += 5)
      for (std::size_t i = 0; i < 2; ++i) {
        double& x = after[i + j];
        x += i == 0 ? b0 : b1;
        if (relu) x = std::max(x, 0.0);
      }
    cublas::multiply(p);
    expect_close(c_, after, 0);
  };
  with(Epilogue::relu, 0, 0, true);
  with(Epilogue::bias, -20, 30, false);
  with(Epilogue::relu_bias, -20, 30, true);
  expect_refused([](Product& p) { p.epilogue = Epilogue::bias; }, "bias is at 0; expected one");
  expect_refused([&](Product& p) { p.bias = bias.raw(); }, "bias is at 0x");
  expect_refused(
      [&](Product& p) {
        p.epilogue = Epilogue::bias;
        p.bias = bias.data<float>() + 1;
      },
      "bias is f32(2) with strides (1) at ");
}

TEST_F(SimtCublasTest, Overlap) {
  expect_refused([](Product& p) { p.c.p = p.a.p; }, "c, 48 bytes at ");
  expect_refused([](Product& p) { p.c = {p.b.p, DType::f32, 2, 3, 2}; }, "c, 24 bytes at ");
  p_.b = {a_.raw(), DType::f32, 4, 3, 5};  // what is only read may be the same
  cublas::multiply(p_);
}

// 2 x 1 = (2 x 32) (32 x 1): long enough for the emulation to want 8 bytes.
TEST_F(SimtCublasTest, Workspace) {
  Tensor a = numbers(64, 3), b = numbers(32, 5);
  Tensor memory = Tensor::zeros({8}, DType::f32, kGpu);
  p_.a = {a.raw(), DType::f32, 2, 32, 2};
  p_.b = {b.raw(), DType::f32, 32, 1, 32};
  p_.c = {c_.raw(), DType::f32, 2, 1, 2};
  ASSERT_EQ(cublas::workspace_bytes(p_), 8u);
  expect_refused([](Product&) {}, "workspace of 0 bytes; expected at least 8");
  p_.workspace_bytes = 8;
  expect_refused([](Product&) {},
                 "workspace is u8(8) with strides (1) at 0; expected all of it in");
  expect_refused([&](Product& p) { p.workspace = memory.data<float>() + 8; }, "workspace is ");
  expect_refused([&](Product& p) { p.workspace = memory.data<float>() + 1; }, "workspace is ");
  expect_refused([&](Product& p) { p.workspace = p.b.p; }, "workspace, 8 bytes at ");
  expect_refused([&](Product& p) { p.workspace = c_.raw(); }, "workspace, 8 bytes at ");
  p_.workspace = memory.raw();
  cublas::multiply(p_);
  const auto used = memory.to_vector<float>();
  EXPECT_TRUE(std::isnan(used[0]) && std::isnan(used[1]) && used[2] == 0);
}

TEST_F(SimtCublasTest, MemoryThatIsGoneWhenTheCallRuns) {
  cublas::multiply(p_);
  a_ = Tensor();
  EXPECT_NO_THROW(synchronize(kGpu)) << "released in the order of the stream that uses it";
}

TEST_F(SimtCublasTest, Tf32RoundsFactors) {
  a_.fill(1 + 0x1p-11 + 0x1p-20);  // to 1 + 2^-10
  b_.fill(1);
  p_.tf32 = true;
  cublas::multiply(p_);
  EXPECT_EQ(c_.rows(0, 1).item(), 4 * (1 + 0x1p-10));
}

TEST_F(SimtCublasTest, SixteenBitFactors) {
  Tensor a = a_.to(DType::bf16), b = b_.to(DType::bf16);
  const std::vector<double> after = expected(p_);
  p_.a.p = a.raw();
  p_.b.p = b.raw();
  p_.a.dtype = p_.b.dtype = DType::bf16;
  cublas::multiply(p_);
  expect_close(c_, after, 0);
  Tensor c = c_.to(DType::bf16);
  p_.c = {c.raw(), DType::bf16, 2, 3, 5};
  cublas::multiply(p_);
  expect_close(c, after, 0);
}

}  // namespace
}  // namespace limbeck
