// SPDX-License-Identifier: Apache-2.0
// cuDNN's convolutions: descriptors, the choice of an algorithm, which is kept, and the call.
#include <limbeck/kernels/cudnn.h>

#include <cudnn.h>

#include <map>
#include <memory>
#include <mutex>

#include <limbeck/core/cuda_check.h>

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
      throw CudaError(detail::concat("cuDNN: no convolutions of ", dtype));
  }
}

/// A handle belongs to the device that was current when it was made.
cudnnHandle_t handle(int device) {
  static auto* handles = new std::map<int, cudnnHandle_t>();
  cudnnHandle_t& h = (*handles)[device];
  if (h == nullptr) LIMBECK_CUDNN_CHECK(cudnnCreate(&h));
  LIMBECK_CUDNN_CHECK(cudnnSetStream(h, backend::stream()));
  return h;
}

/// Takes the best ranked algorithm that is as deterministic as asked and fits the workspace.
template <class Perf, class Get, class... Descriptors>
void choose(Plan& plan, const Problem& p, Get get, const Descriptors&... descriptors) {
  std::array<Perf, 16> ranked{};
  int found = 0;
  LIMBECK_CUDNN_CHECK(get(handle(p.device), descriptors..., static_cast<int>(ranked.size()), &found,
                          ranked.data()));
  for (int i = 0; i < found; ++i) {
    const Perf& perf = ranked[static_cast<std::size_t>(i)];
    if (perf.status != CUDNN_STATUS_SUCCESS || perf.memory > kWorkspaceBytes ||
        (p.deterministic && perf.determinism != CUDNN_DETERMINISTIC))
      continue;
    plan.algorithm = static_cast<int>(perf.algo);
    plan.workspace_bytes = perf.memory;
    // An algorithm is valid for its own math type only; ours is narrower where TF32 is barred.
    if (p.tensor_cores)
      LIMBECK_CUDNN_CHECK(cudnnSetConvolutionMathType(plan.convolution, perf.mathType));
    return;
  }
  const auto &x = p.x.extents, &w = p.w.extents;
  throw CudaError(detail::concat("cuDNN: no deterministic algorithm for a ", p.x.dtype,
                                 " convolution of NCHW (", x[0], ",", x[1], ",", x[2], ",", x[3],
                                 ") with (", w[0], ",", w[1], ",", w[2], ",", w[3], ")"));
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
  const auto images = [&](const TensorDescriptor& d, const Images& t) {
    const auto &e = t.extents, &s = t.strides;
    LIMBECK_CUDNN_CHECK(cudnnSetTensor4dDescriptorEx(d, cudnn_type(t.dtype), e[0], e[1], e[2], e[3],
                                                     s[0], s[1], s[2], s[3]));
  };
  images(plan->x, p.x);
  images(plan->y, p.y);
  const auto& w = p.w.extents;
  LIMBECK_CUDNN_CHECK(cudnnSetFilter4dDescriptor(
      plan->w, cudnn_type(p.w.dtype),
      p.w.layout == Layout::nhwc ? CUDNN_TENSOR_NHWC : CUDNN_TENSOR_NCHW, w[0], w[1], w[2], w[3]));
  LIMBECK_CUDNN_CHECK(cudnnSetConvolution2dDescriptor(
      plan->convolution, p.padding[0], p.padding[1], p.stride[0], p.stride[1], p.dilation[0],
      p.dilation[1], CUDNN_CROSS_CORRELATION, cudnn_type(p.compute)));
  LIMBECK_CUDNN_CHECK(cudnnSetConvolutionGroupCount(plan->convolution, p.groups));
  LIMBECK_CUDNN_CHECK(cudnnSetConvolutionMathType(
      plan->convolution, p.tensor_cores ? CUDNN_TENSOR_OP_MATH : CUDNN_FMA_MATH));
  choose(*plan, p);
  return plan;
}

std::mutex mutex;  // held by whoever uses a plan or a handle

const Plan& plan_of(const Problem& p) {
  static auto* plans = new std::map<Problem, std::unique_ptr<Plan>>();
  auto found = plans->find(p);
  if (found == plans->end()) found = plans->emplace(p, make_plan(p)).first;
  return *found->second;
}

cudnnStatus_t run(const Call& c, const Plan& p) {
  const cudnnHandle_t h = handle(c.problem.device);
  switch (c.problem.pass) {
    case Pass::forward:
      return cudnnConvolutionForward(h, &c.alpha, p.x, c.x, p.w, c.w, p.convolution,
                                     static_cast<cudnnConvolutionFwdAlgo_t>(p.algorithm),
                                     c.workspace, c.workspace_bytes, &c.beta, p.y, c.y);
    case Pass::backward_data:
      return cudnnConvolutionBackwardData(h, &c.alpha, p.w, c.w, p.y, c.y, p.convolution,
                                          static_cast<cudnnConvolutionBwdDataAlgo_t>(p.algorithm),
                                          c.workspace, c.workspace_bytes, &c.beta, p.x, c.x);
    case Pass::backward_weight:
      return cudnnConvolutionBackwardFilter(
          h, &c.alpha, p.x, c.x, p.y, c.y, p.convolution,
          static_cast<cudnnConvolutionBwdFilterAlgo_t>(p.algorithm), c.workspace, c.workspace_bytes,
          &c.beta, p.w, c.w);
  }
  return CUDNN_STATUS_BAD_PARAM;
}

}  // namespace

std::size_t workspace_bytes(const Problem& problem) {
  std::lock_guard lock(mutex);
  return plan_of(problem).workspace_bytes;
}

void run(const Call& call) {
  std::lock_guard lock(mutex);
  LIMBECK_CUDNN_CHECK(run(call, plan_of(call.problem)));
}

}  // namespace limbeck::cudnn
