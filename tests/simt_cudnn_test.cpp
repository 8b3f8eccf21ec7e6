// SPDX-License-Identifier: Apache-2.0
// cuDNN's place on the emulated GPU: calls that cuDNN would refuse, or get wrong, are refused, and
// the others are computed from their addresses, extents and strides alone.
#include <functional>

#include <limbeck/core/math_mode.h>
#include <limbeck/kernels/cudnn.h>
#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

using cudnn::Call;
using cudnn::Layout;
using cudnn::Pass;

constexpr Device kGpu = Device::cuda();

/// A convolution of 2 images of 3 x 4 with 2 channels, 3 windows of 2 x 2: y is (2,2,3,3).
class SimtCudnnTest : public ::testing::Test {
 protected:
  static Tensor random(const Shape& shape, std::uint64_t seed) {
    return Tensor::from(random_values(shape.numel(), 1, seed), shape).to(DType::f32).to(kGpu);
  }

  Tensor x = random({2, 3, 4, 2}, 1), w = random({3, 2, 2, 2}, 2), y = random({2, 2, 3, 3}, 3);
  Tensor workspace = Tensor::empty({2000}, DType::u8, kGpu);

  Call call(Pass pass) {
    Call c = cudnn::describe(pass, x, w, y, {}, Out::write);
    c.workspace = workspace.raw();
    c.workspace_bytes = 1000;
    return c;
  }
  /// The call is refused, with that in the message, once `change` has been made to it.
  void refuses(const std::function<void(Call&)>& change, const std::string& part,
               Pass pass = Pass::backward_weight) {
    Call c = call(pass);
    change(c);
    expect_error<CudaError>([&] { cudnn::run(c); }, part);
  }
  std::vector<double> expected() const {
    Tensor t = Tensor::empty(y.shape());
    conv2d_forward(t, x.to(Device::cpu()), w.to(Device::cpu()), Tensor(), {});
    return to_doubles(t);
  }
};

TEST_F(SimtCudnnTest, ACallIsWhatTheTensorsSay) {
  Tensor image = Tensor::empty({5, 6, 7, 4}, DType::f16, kGpu);
  Tensor weight = Tensor::empty({8, 3, 2, 2}, DType::f16, kGpu);
  Tensor result = Tensor::empty({5, 4, 5, 8}, DType::f16, kGpu);
  const Call c = cudnn::describe(Pass::backward_weight, image, weight, result,
                                 {.stride = 2, .padding = 2, .dilation = 2, .groups = 2}, Out::add);
  const cudnn::Problem expected = {.device = 0,
                                   .pass = Pass::backward_weight,
                                   .x = {DType::f16, {5, 4, 6, 7}, {168, 1, 28, 4}},
                                   .y = {DType::f16, {5, 8, 4, 5}, {160, 1, 40, 8}},
                                   .w = {DType::f16, Layout::nhwc, {8, 2, 3, 2}},
                                   .compute = DType::f32,
                                   .padding = {2, 2},
                                   .stride = {2, 2},
                                   .dilation = {2, 2},
                                   .groups = 2,
                                   .tensor_cores = true,
                                   .deterministic = true};
  EXPECT_EQ(c.problem, expected);
  EXPECT_EQ(c.x, image.raw());
  EXPECT_EQ(c.w, weight.raw());
  EXPECT_EQ(c.y, result.raw());
  EXPECT_EQ(c.alpha, 1);
  EXPECT_EQ(c.beta, 1);
  EXPECT_EQ(call(Pass::forward).beta, 0);
}

TEST_F(SimtCudnnTest, TensorCoresTouchF32OnlyWhereMathIsFast) {
  EXPECT_FALSE(call(Pass::forward).problem.tensor_cores);
  if (!fast_math_available()) return;
  set_math_mode(MathMode::fast);
  EXPECT_TRUE(call(Pass::forward).problem.tensor_cores);
  set_math_mode(MathMode::exact);
}

TEST_F(SimtCudnnTest, RefusesWhatTheTranslationCannotSay) {
  const auto describe = [&](DType dtype, std::int64_t padding) {
    cudnn::describe(Pass::forward, Tensor::empty(x.shape(), dtype), w, y, {.padding = padding},
                    Out::write);
  };
  expect_error([&] { describe(DType::f64, 0); },
               "conv2d on a GPU: dtype f64; expected f32, bf16 or f16");
  expect_error([&] { describe(DType::f32, std::int64_t{1} << 31); },
               "conv2d on a GPU: padding 2147483648; expected less than 2^31");
}

TEST_F(SimtCudnnTest, RefusesTypesAndAlgorithms) {
  refuses([](Call& c) { c.problem.device = 1; }, "cuDNN: device 1; expected 0");
  refuses([](Call& c) { c.problem.deterministic = false; }, "expected deterministic ones alone");
  refuses([](Call& c) { c.problem.w.dtype = DType::bf16; },
          "x f32, w bf16, y f32, computed in f32; expected one of f32, bf16 and f16");
  refuses([](Call& c) { c.problem.y.dtype = DType::f16; }, "x f32, w f32, y f16");
  refuses([](Call& c) { c.problem.compute = DType::f16; }, "computed in f16; expected one of f32");
  refuses([](Call& c) { c.problem.x.dtype = c.problem.w.dtype = c.problem.y.dtype = DType::f64; },
          "x f64, w f64, y f64");
}

TEST_F(SimtCudnnTest, RefusesExtents) {
  refuses([](Call& c) { c.problem.groups = 0; }, "groups 0, dilation (1,1)");
  refuses([](Call& c) { c.problem.groups = 2; }, "w (3,2,..) in 2 groups; expected (N,C), (N,O)");
  refuses(
      [](Call& c) {
        c.problem.groups = 2;
        c.problem.w.extents[1] = 1;
      },
      "w (3,1,..) in 2 groups");
  refuses([](Call& c) { c.problem.dilation[0] = 2; }, "dilation (2,1), stride (1,1)");
  refuses([](Call& c) { c.problem.dilation = {0, 0}; }, "dilation (0,0), stride (1,1)");
  refuses([](Call& c) { c.problem.dilation = {2, 2}; }, "dilation 2; expected 1");
  refuses([](Call& c) { c.problem.padding[1] = 1; }, "padding (0,1); expected what is emulated");
  refuses([](Call& c) { c.problem.stride[0] = 2; }, "stride (2,1)");
  refuses([](Call& c) { c.problem.stride = {0, 0}; }, "stride (0,0)");
  refuses(
      [](Call& c) {
        c.problem.padding = {1, 1};
      },
      "y height 2 from x 3, w 2, padding 1, stride 1, dilation 1; expected 4");
  refuses([](Call& c) { c.problem.stride = {2, 2}; }, "y height 2 from x 3");
  refuses([](Call& c) { c.problem.y.extents[3] = 2; }, "y width 2 from x 4");
  refuses([](Call& c) { c.problem.w.extents = {3, 2, 9, 2}; }, "expected 0");
  refuses([](Call& c) { c.problem.x.extents[0] = 1; }, "x has N 1, C 2, y N 2");
  refuses([](Call& c) { std::swap(c.problem.w.extents[0], c.problem.w.extents[1]); },
          "w (2,3,..) in 1 groups; expected (N,C), (N,O) and (O,C/groups,..)");
  refuses([](Call& c) { c.problem.x.extents = {2, 3, 4, 2}; }, "x has N 2, C 3");
  refuses([](Call& c) { c.problem.x.extents[0] = c.problem.y.extents[0] = 0; },
          "expected extents from 1");
}

TEST_F(SimtCudnnTest, RefusesStrides) {
  refuses(
      [](Call& c) {
        c.problem.x.strides = {24, 12, 4, 1};
      },
      "x has C, H and W strides (12,4,1), w is in NHWC; expected (1,8,2)");
  refuses([](Call& c) { c.problem.y.strides[2] = 12; }, "y has C, H and W strides (1,12,3)");
  refuses([](Call& c) { c.problem.x.strides[0] = 23; }, "x has C, H and W strides");
  refuses(
      [](Call& c) {
        c.problem.w.layout = Layout::nchw;
        c.problem.x.strides = {24, 1, 4, 2};
      },
      "x is f32(2,3,4,2) with strides (24,4,2,1) at");
  refuses([](Call& c) { c.problem.x.strides[0] = 25; }, "expected all of it in one live device");
}

TEST_F(SimtCudnnTest, RefusesAddresses) {
  const auto moved = [](void* p, std::ptrdiff_t bytes) { return static_cast<char*>(p) + bytes; };
  refuses([&](Call& c) { c.y = moved(c.y, 4); }, "expected a multiple of 16 as the address");
  refuses([&](Call& c) { c.x = moved(c.x, 16); }, "expected all of it in one live device");
  refuses([&](Call& c) { c.w = nullptr; }, "w is f32(3,2,2,2) with strides (8,4,2,1) at 0");
  std::array<float, 64> host{};
  refuses([&](Call& c) { c.x = host.data(); }, "x is f32(2,3,4,2)");
  Tensor both = Tensor::zeros({100}, DType::f32, kGpu);
  refuses(
      [&](Call& c) {
        c.x = both.raw();
        c.w = moved(c.x, 160);
      },
      "cuDNN: w, 96 bytes at ");
  refuses([&](Call& c) { c.y = c.w = both.raw(); }, "overlaps y");
  refuses([&](Call& c) { c.y = c.x = both.raw(); }, "overlaps x", Pass::forward);
}

TEST_F(SimtCudnnTest, RefusesWorkspaces) {
  refuses([](Call& c) { c.workspace_bytes = 999; }, "a workspace of 999 bytes; expected 1000");
  refuses([](Call& c) { c.workspace = nullptr; }, "workspace is u8(1000)");
  refuses([](Call& c) { c.workspace_bytes = 2001; }, "workspace is u8(2001)");
  refuses([&](Call& c) { c.workspace = static_cast<char*>(c.workspace) + 1; }, "multiple of 16");
  Tensor both = Tensor::zeros({500}, DType::f32, kGpu);
  refuses([&](Call& c) { c.workspace = c.x = both.raw(); }, "cuDNN: workspace, 1000 bytes at ");
}

TEST_F(SimtCudnnTest, MemoryThatIsGoneWhenTheCallRunsIsRefused) {
  cudnn::run(call(Pass::backward_weight));
  synchronize(kGpu);
  const Call c = call(Pass::backward_weight);
  workspace = Tensor();
  synchronize(kGpu);
  expect_error<CudaError>([&] { cudnn::run(c); }, "workspace is u8(1000)");
}

TEST_F(SimtCudnnTest, AlphaAndBetaScale) {
  const std::vector<double> before = to_doubles(y), product = expected();
  std::vector<double> sum;
  for (std::size_t i = 0; i < before.size(); ++i) sum.push_back(2 * product[i] + 0.5 * before[i]);
  Call c = call(Pass::forward);
  c.alpha = 2;
  c.beta = 0.5f;
  cudnn::run(c);
  expect_close(y, sum, 1e-6);
  y.fill(std::nan(""));  // is not read
  cudnn::run(call(Pass::forward));
  expect_close(y, product, 1e-6);
}

// cuDNN's other orders, NCHW weights and images with gaps, say the same convolution.
TEST_F(SimtCudnnTest, StridesAndLayoutsAreFollowed) {
  const std::vector<double> product = expected();
  const auto permuted = [](const Tensor& t) {  // (A,H,W,C) to (A,C,H,W)
    const std::vector<double> from = to_doubles(t);
    std::vector<double> to;
    const std::int64_t H = t.dim(1), W = t.dim(2), C = t.dim(3);
    for (std::int64_t a = 0; a < t.dim(0); ++a)
      for (std::int64_t c = 0; c < C; ++c)
        for (std::int64_t i = 0; i < H * W; ++i)
          to.push_back(from[static_cast<std::size_t>((a * H * W + i) * C + c)]);
    return Tensor::from(to, t.shape()).to(DType::f32).to(kGpu);
  };
  Tensor planes = permuted(w), rows = permuted(x);
  Call c = call(Pass::forward);
  c.w = planes.raw();
  c.problem.w.layout = Layout::nchw;
  c.x = rows.raw();
  c.problem.x.strides = {24, 12, 4, 1};
  Tensor wide = Tensor::full({2, 2, 3, 4}, 7, DType::f32, kGpu);
  c.y = wide.raw();
  c.problem.y.strides = {24, 1, 12, 4};
  cudnn::run(c);
  const std::vector<double> spread = to_doubles(wide);
  for (std::size_t i = 0; i < product.size(); ++i) {
    EXPECT_NEAR(spread[i / 3 * 4 + i % 3], product[i], 1e-6);
    EXPECT_EQ(spread[i / 3 * 4 + 3], 7);
  }
}

TEST_F(SimtCudnnTest, TensorCoresRoundToTf32) {
  x = Tensor::full(x.shape(), 1 + 0x1p-11 + 0x1p-20, DType::f32, kGpu);
  w = Tensor::full(w.shape(), 1, DType::f32, kGpu);
  Call c = call(Pass::forward);
  cudnn::run(c);
  EXPECT_FLOAT_EQ(to_doubles(y)[0], 8 * (1 + 0x1p-11f + 0x1p-20f));
  c.problem.tensor_cores = true;
  cudnn::run(c);
  EXPECT_EQ(to_doubles(y)[0], 8 * (1 + 0x1p-10));
}

// A view may begin anywhere; what the library is handed begins at 16 bytes.
TEST_F(SimtCudnnTest, MisalignedTensorsAreCopied) {
  const auto shifted = [](const Tensor& t) {
    Tensor moved = Tensor::empty({t.numel() + 1}, DType::f32, kGpu).rows(1, t.numel() + 1);
    moved = moved.reshape(t.shape());
    moved.copy_from(t);
    return moved;
  };
  Tensor my = shifted(y), mx = shifted(x), mw = shifted(w);
  cudnn::conv2d_forward(y, x, w, {});
  cudnn::conv2d_forward(my, mx, mw, {});
  EXPECT_TRUE(same_bytes(my, y));
  cudnn::conv2d_backward_weight(mw, mx, my, Out::add, {});
  cudnn::conv2d_backward_weight(w, x, y, Out::add, {});
  EXPECT_TRUE(same_bytes(mw, w));
  cudnn::conv2d_backward_data(mx, my, mw, {});
  cudnn::conv2d_backward_data(x, y, w, {});
  EXPECT_TRUE(same_bytes(mx, x));
}

}  // namespace
}  // namespace limbeck::testing
