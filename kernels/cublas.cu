// SPDX-License-Identifier: Apache-2.0
// cuBLASLt is column-major: a row-major matrix is its transpose there, so c = op(a) op(b) is asked
// for as c^T = op(b)^T op(a)^T, and the library's first operand is our b.
#include <limbeck/kernels/cublas.h>

#include <cublasLt.h>

#include <algorithm>
#include <compare>
#include <map>
#include <mutex>

#include <limbeck/core/cuda_check.h>
#include <limbeck/core/dispatch.h>
#include <limbeck/core/math_mode.h>
#include <limbeck/core/pool.h>

#define LIMBECK_CUBLAS_CHECK(statement)                                                     \
  do {                                                                                      \
    const cublasStatus_t limbeck_status = (statement);                                      \
    if (limbeck_status != CUBLAS_STATUS_SUCCESS)                                            \
      throw CudaError(detail::concat("cuBLASLt: ", cublasLtGetStatusString(limbeck_status), \
                                     " in ", #statement));                                  \
  } while (0)

namespace limbeck::cublas {
namespace {

constexpr std::uint64_t kWorkspaceBytes = 32 << 20;  // the most an algorithm may ask for

/// Everything the choice of an algorithm depends on, in cuBLASLt's column-major terms.
struct Problem {
  int device;
  std::int64_t m, n, k;
  bool trans_a, trans_b;
  DType dtype;
  MathMode mode;
  cublasLtEpilogue_t epilogue;
  std::uint32_t align_a, align_b, align_c;
  auto operator<=>(const Problem&) const = default;
};

struct Plan {
  cublasLtMatmulDescOpaque_t desc;
  cublasLtMatrixLayoutOpaque_t a, b, c;
  cublasLtMatmulHeuristicResult_t choice;
};

cudaDataType_t cuda_type(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return CUDA_R_32F;
    case DType::bf16:
      return CUDA_R_16BF;
    case DType::f16:
      return CUDA_R_16F;
    default:
      throw std::invalid_argument(
          detail::concat("matmul on a GPU: dtype ", dtype, "; expected f32, bf16 or f16"));
  }
}

/// The largest power of two, up to 256, that divides the address.
std::uint32_t alignment(const void* p) {
  const auto address = reinterpret_cast<std::uintptr_t>(p) | 256u;
  return static_cast<std::uint32_t>(address & (~address + 1));
}

/// A handle belongs to the device that was current when it was made.
cublasLtHandle_t handle(int device) {
  static auto* handles = new std::map<int, cublasLtHandle_t>();
  cublasLtHandle_t& h = (*handles)[device];
  if (h == nullptr) LIMBECK_CUBLAS_CHECK(cublasLtCreate(&h));
  return h;
}

template <class T>
void set(cublasLtMatmulDescOpaque_t& desc, cublasLtMatmulDescAttributes_t attribute, T value) {
  LIMBECK_CUBLAS_CHECK(cublasLtMatmulDescSetAttribute(&desc, attribute, &value, sizeof value));
}

/// The library's first choice among algorithms that add up in f32, also when they split k.
cublasLtMatmulHeuristicResult_t choose(Plan& plan, const Problem& p) {
  cublasLtMatmulPreferenceOpaque_t preference;
  LIMBECK_CUBLAS_CHECK(cublasLtMatmulPreferenceInit(&preference));
  const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
    LIMBECK_CUBLAS_CHECK(
        cublasLtMatmulPreferenceSetAttribute(&preference, attribute, &value, sizeof value));
  };
  prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, kWorkspaceBytes);
  prefer(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
         std::uint32_t{CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE});
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, p.align_a);
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, p.align_b);
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, p.align_c);
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, p.align_c);
  cublasLtMatmulHeuristicResult_t choice{};
  int found = 0;
  LIMBECK_CUBLAS_CHECK(cublasLtMatmulAlgoGetHeuristic(handle(p.device), &plan.desc, &plan.a,
                                                      &plan.b, &plan.c, &plan.c, &preference, 1,
                                                      &choice, &found));
  if (found == 0)
    throw CudaError(detail::concat("cuBLASLt: no algorithm for a product of ", p.dtype, " with m ",
                                   p.m, ", n ", p.n, ", k ", p.k));
  return choice;
}

Plan make_plan(const Problem& p, const void* bias) {
  Plan plan{};
  const cudaDataType_t type = cuda_type(p.dtype);
  const bool tf32 = p.dtype == DType::f32 && p.mode == MathMode::fast;
  LIMBECK_CUBLAS_CHECK(cublasLtMatmulDescInit(
      &plan.desc, tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F, CUDA_R_32F));
  set(plan.desc, CUBLASLT_MATMUL_DESC_TRANSA, p.trans_a ? CUBLAS_OP_T : CUBLAS_OP_N);
  set(plan.desc, CUBLASLT_MATMUL_DESC_TRANSB, p.trans_b ? CUBLAS_OP_T : CUBLAS_OP_N);
  set(plan.desc, CUBLASLT_MATMUL_DESC_EPILOGUE, p.epilogue);
  if (bias) set(plan.desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
  const auto layout = [&](cublasLtMatrixLayoutOpaque_t& out, std::int64_t rows, std::int64_t cols) {
    LIMBECK_CUBLAS_CHECK(cublasLtMatrixLayoutInit(&out, type, static_cast<std::uint64_t>(rows),
                                                  static_cast<std::uint64_t>(cols), rows));
  };
  layout(plan.a, p.trans_a ? p.k : p.m, p.trans_a ? p.m : p.k);
  layout(plan.b, p.trans_b ? p.n : p.k, p.trans_b ? p.k : p.n);
  layout(plan.c, p.m, p.n);
  plan.choice = choose(plan, p);
  return plan;
}

cublasLtEpilogue_t epilogue(bool bias, bool relu) {
  if (bias) return relu ? CUBLASLT_EPILOGUE_RELU_BIAS : CUBLASLT_EPILOGUE_BIAS;
  return relu ? CUBLASLT_EPILOGUE_RELU : CUBLASLT_EPILOGUE_DEFAULT;
}

/// c = act(op(a) op(b) + bias), or added. Choosing an algorithm takes the library tens of
/// microseconds, so the choice is kept for the next product of the same kind.
void multiply(Tensor& c, const Tensor& a, Trans trans_a, const Tensor& b, Trans trans_b, Out out,
              const void* bias, bool relu) {
  // The epilogue reads the bias with the width it stores c with.
  const Problem p{.device = c.device().index(),
                  .m = c.dim(1),
                  .n = c.dim(0),
                  .k = a.dim(trans_a == Trans::yes ? 0 : 1),
                  .trans_a = trans_b == Trans::yes,
                  .trans_b = trans_a == Trans::yes,
                  .dtype = c.dtype(),
                  .mode = math_mode(),
                  .epilogue = epilogue(bias != nullptr, relu),
                  .align_a = alignment(b.raw()),
                  .align_b = alignment(a.raw()),
                  .align_c = std::min(alignment(c.raw()), alignment(bias))};
  static std::mutex mutex;
  static auto* plans = new std::map<Problem, Plan>();
  std::lock_guard lock(mutex);
  auto found = plans->find(p);
  if (found == plans->end()) found = plans->emplace(p, make_plan(p, bias)).first;
  Plan& plan = found->second;
  if (bias) set(plan.desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
  const float alpha = 1, beta = out == Out::add ? 1 : 0;
  const std::size_t bytes = plan.choice.workspaceSize;
  detail::count_cuda_launch();
  const auto workspace = bytes ? pool_allocate(c.device(), bytes) : nullptr;
  LIMBECK_CUBLAS_CHECK(cublasLtMatmul(
      handle(p.device), &plan.desc, &alpha, b.raw(), &plan.a, a.raw(), &plan.b, &beta, c.raw(),
      &plan.c, c.raw(), &plan.c, &plan.choice.algo, workspace.get(), bytes, backend::stream()));
}

}  // namespace

void matmul(Tensor& c, const Tensor& a, Trans trans_a, const Tensor& b, Trans trans_b, Out out) {
  multiply(c, a, trans_a, b, trans_b, out, nullptr, false);
}

void linear(Tensor& y, const Tensor& x, const Tensor& w, const Tensor& bias, bool relu) {
  multiply(y, x, Trans::no, w, Trans::yes, Out::write, bias.defined() ? bias.raw() : nullptr, relu);
}

}  // namespace limbeck::cublas
