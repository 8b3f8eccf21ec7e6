// SPDX-License-Identifier: Apache-2.0
// cuDNN's convolutions. Images and weights are NHWC in memory, which cuDNN names (N,C,H,W) with the
// format NHWC.
#include <limbeck/kernels/cudnn.h>

#include <cudnn.h>

#include <array>
#include <compare>
#include <map>
#include <memory>
#include <mutex>

#include <limbeck/core/cuda_check.h>
#include <limbeck/core/dispatch.h>
#include <limbeck/core/math_mode.h>
#include <limbeck/core/pool.h>

#define LIMBECK_CUDNN_CHECK(statement)                                                         \
  do {                                                                                         \
    const cudnnStatus_t limbeck_status = (statement);                                          \
    if (limbeck_status != CUDNN_STATUS_SUCCESS)                                                \
      throw CudaError(                                                                         \
          detail::concat("cuDNN: ", cudnnGetErrorString(limbeck_status), " in ", #statement)); \
  } while (0)

namespace limbeck::cudnn {
namespace {

constexpr std::size_t kWorkspaceBytes = std::size_t{1} << 30;  // the most an algorithm may ask for

enum class Pass { forward, backward_data, backward_weight };

/// Everything the choice of an algorithm depends on.
struct Problem {
  int device;
  Pass pass;
  DType dtype;
  MathMode mode;
  std::array<int, 4> x, w, y;  // (N,H,W,C)
  int stride, padding;
  auto operator<=>(const Problem&) const = default;
};

template <class T, auto create, auto destroy>
class Descriptor {
 public:
  Descriptor() { LIMBECK_CUDNN_CHECK(create(&value_)); }
  ~Descriptor() { destroy(value_); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  operator T() const { return value_; }

 private:
  T value_ = nullptr;
};
using TensorDescriptor =
    Descriptor<cudnnTensorDescriptor_t, cudnnCreateTensorDescriptor, cudnnDestroyTensorDescriptor>;
using FilterDescriptor =
    Descriptor<cudnnFilterDescriptor_t, cudnnCreateFilterDescriptor, cudnnDestroyFilterDescriptor>;
using ConvolutionDescriptor =
    Descriptor<cudnnConvolutionDescriptor_t, cudnnCreateConvolutionDescriptor,
               cudnnDestroyConvolutionDescriptor>;

struct Plan {
  TensorDescriptor x, y;
  FilterDescriptor w;
  ConvolutionDescriptor convolution;
  int algorithm = 0;  // of the pass's own enumeration
  std::size_t workspace_bytes = 0;
};

cudnnDataType_t cudnn_type(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return CUDNN_DATA_FLOAT;
    case DType::bf16:
      return CUDNN_DATA_BFLOAT16;
    case DType::f16:
      return CUDNN_DATA_HALF;
    default:
      throw std::invalid_argument(
          detail::concat("conv2d on a GPU: dtype ", dtype, "; expected f32, bf16 or f16"));
  }
}

bool bars_tf32(const Problem& p) { return p.dtype == DType::f32 && p.mode == MathMode::exact; }

/// A handle belongs to the device that was current when it was made.
cudnnHandle_t handle(int device) {
  static auto* handles = new std::map<int, cudnnHandle_t>();
  cudnnHandle_t& h = (*handles)[device];
  if (h == nullptr) LIMBECK_CUDNN_CHECK(cudnnCreate(&h));
  LIMBECK_CUDNN_CHECK(cudnnSetStream(h, backend::stream()));
  return h;
}

/// Takes the best ranked algorithm that is deterministic and fits the workspace.
template <class Perf, class Get, class... Descriptors>
void choose(Plan& plan, const Problem& p, Get get, const Descriptors&... descriptors) {
  std::array<Perf, 16> ranked{};
  int found = 0;
  LIMBECK_CUDNN_CHECK(get(handle(p.device), descriptors..., static_cast<int>(ranked.size()), &found,
                          ranked.data()));
  for (int i = 0; i < found; ++i) {
    const Perf& perf = ranked[static_cast<std::size_t>(i)];
    if (perf.status != CUDNN_STATUS_SUCCESS || perf.determinism != CUDNN_DETERMINISTIC ||
        perf.memory > kWorkspaceBytes)
      continue;
    plan.algorithm = static_cast<int>(perf.algo);
    plan.workspace_bytes = perf.memory;
    // An algorithm is valid for its own math type only; ours is narrower where TF32 is barred.
    if (!bars_tf32(p))
      LIMBECK_CUDNN_CHECK(cudnnSetConvolutionMathType(plan.convolution, perf.mathType));
    return;
  }
  throw CudaError(detail::concat("cuDNN: no deterministic algorithm for a ", p.dtype,
                                 " convolution of (", p.x[0], ",", p.x[1], ",", p.x[2], ",", p.x[3],
                                 ") with (", p.w[0], ",", p.w[1], ",", p.w[2], ",", p.w[3], ")"));
}

void choose(Plan& plan, const Problem& p) {
  switch (p.pass) {
    case Pass::forward:
      return choose<cudnnConvolutionFwdAlgoPerf_t>(plan, p, cudnnGetConvolutionForwardAlgorithm_v7,
                                                   plan.x, plan.w, plan.convolution, plan.y);
    case Pass::backward_data:
      return choose<cudnnConvolutionBwdDataAlgoPerf_t>(plan, p,
                                                       cudnnGetConvolutionBackwardDataAlgorithm_v7,
                                                       plan.w, plan.y, plan.convolution, plan.x);
    case Pass::backward_weight:
      return choose<cudnnConvolutionBwdFilterAlgoPerf_t>(
          plan, p, cudnnGetConvolutionBackwardFilterAlgorithm_v7, plan.x, plan.y, plan.convolution,
          plan.w);
  }
}

std::unique_ptr<Plan> make_plan(const Problem& p) {
  auto plan = std::make_unique<Plan>();
  const cudnnDataType_t type = cudnn_type(p.dtype);
  const auto image = [&](const TensorDescriptor& d, const std::array<int, 4>& s) {
    LIMBECK_CUDNN_CHECK(
        cudnnSetTensor4dDescriptor(d, CUDNN_TENSOR_NHWC, type, s[0], s[3], s[1], s[2]));
  };
  image(plan->x, p.x);
  image(plan->y, p.y);
  LIMBECK_CUDNN_CHECK(
      cudnnSetFilter4dDescriptor(plan->w, type, CUDNN_TENSOR_NHWC, p.w[0], p.w[3], p.w[1], p.w[2]));
  LIMBECK_CUDNN_CHECK(cudnnSetConvolution2dDescriptor(plan->convolution, p.padding, p.padding,
                                                      p.stride, p.stride, 1, 1,
                                                      CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT));
  LIMBECK_CUDNN_CHECK(cudnnSetConvolutionMathType(
      plan->convolution, bars_tf32(p) ? CUDNN_FMA_MATH : CUDNN_TENSOR_OP_MATH));
  choose(*plan, p);
  return plan;
}

std::array<int, 4> extents(const Tensor& t) {
  std::array<int, 4> e;
  for (int i = 0; i < 4; ++i) {
    LIMBECK_CHECK(t.dim(i) <= INT32_MAX, "conv2d on a GPU: shape ", t.shape(),
                  "; expected extents below 2^31");
    e[static_cast<std::size_t>(i)] = static_cast<int>(t.dim(i));
  }
  return e;
}

/// Calls run(handle, plan, workspace) with the plan for this pass, made on its first use.
template <class Run>
void with_plan(Pass pass, const Tensor& x, const Tensor& w, const Tensor& y,
               const Conv2dOptions& options, Run run) {
  const Problem p{.device = x.device().index(),
                  .pass = pass,
                  .dtype = x.dtype(),
                  .mode = math_mode(),
                  .x = extents(x),
                  .w = extents(w),
                  .y = extents(y),
                  .stride = static_cast<int>(options.stride),
                  .padding = static_cast<int>(options.padding)};
  static std::mutex mutex;
  static auto* plans = new std::map<Problem, std::unique_ptr<Plan>>();
  std::lock_guard lock(mutex);
  auto found = plans->find(p);
  if (found == plans->end()) found = plans->emplace(p, make_plan(p)).first;
  const Plan& plan = *found->second;
  detail::count_cuda_launch();
  const auto workspace = pool_allocate(x.device(), plan.workspace_bytes);
  LIMBECK_CUDNN_CHECK(run(handle(p.device), plan, workspace.get()));
}

constexpr float kOne = 1, kZero = 0;

}  // namespace

void conv2d_forward(Tensor& y, const Tensor& x, const Tensor& w, const Conv2dOptions& options) {
  with_plan(Pass::forward, x, w, y, options, [&](cudnnHandle_t h, const Plan& p, void* workspace) {
    return cudnnConvolutionForward(h, &kOne, p.x, x.raw(), p.w, w.raw(), p.convolution,
                                   static_cast<cudnnConvolutionFwdAlgo_t>(p.algorithm), workspace,
                                   p.workspace_bytes, &kZero, p.y, y.raw());
  });
}

void conv2d_backward_data(Tensor& dx, const Tensor& dy, const Tensor& w,
                          const Conv2dOptions& options) {
  with_plan(Pass::backward_data, dx, w, dy, options,
            [&](cudnnHandle_t h, const Plan& p, void* workspace) {
              return cudnnConvolutionBackwardData(
                  h, &kOne, p.w, w.raw(), p.y, dy.raw(), p.convolution,
                  static_cast<cudnnConvolutionBwdDataAlgo_t>(p.algorithm), workspace,
                  p.workspace_bytes, &kZero, p.x, dx.raw());
            });
}

void conv2d_backward_weight(Tensor& dw, const Tensor& x, const Tensor& dy, Out out,
                            const Conv2dOptions& options) {
  with_plan(Pass::backward_weight, x, dw, dy, options,
            [&](cudnnHandle_t h, const Plan& p, void* workspace) {
              return cudnnConvolutionBackwardFilter(
                  h, &kOne, p.x, x.raw(), p.y, dy.raw(), p.convolution,
                  static_cast<cudnnConvolutionBwdFilterAlgo_t>(p.algorithm), workspace,
                  p.workspace_bytes, out == Out::add ? &kOne : &kZero, p.w, dw.raw());
            });
}

}  // namespace limbeck::cudnn
