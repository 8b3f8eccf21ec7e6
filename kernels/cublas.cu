// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/cublas.h>

#include <cublasLt.h>

#include <algorithm>
#include <map>
#include <mutex>

#include <limbeck/core/cuda_check.h>

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

/// Everything the choice of an algorithm depends on.
struct Key {
  Product product;  // its pointers, workspace and factors left out
  std::uint32_t align_a, align_b, align_c;
  auto operator<=>(const Key&) const = default;
};

struct Plan {
  cublasLtMatmulDescOpaque_t desc;
  cublasLtMatrixLayoutOpaque_t a, b, c;
  cublasLtMatmulHeuristicResult_t choice;
};

/// The largest power of two, up to 256, that divides the address.
std::uint32_t alignment(const void* p) {
  const auto address = reinterpret_cast<std::uintptr_t>(p) | 256u;
  return static_cast<std::uint32_t>(address & (~address + 1));
}

Key key_of(const Product& p) {
  // The epilogue reads the bias with the width it stores c with.
  Key key{p, alignment(p.a.p), alignment(p.b.p), std::min(alignment(p.c.p), alignment(p.bias))};
  Product& kept = key.product;
  kept.a.p = kept.b.p = kept.c.p = kept.workspace = nullptr;
  kept.bias = nullptr;
  kept.call = nullptr;
  kept.alpha = kept.beta = 0;
  kept.workspace_bytes = 0;
  return key;
}

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

cublasLtEpilogue_t cuda_epilogue(Epilogue epilogue) {
  switch (epilogue) {
    case Epilogue::relu:
      return CUBLASLT_EPILOGUE_RELU;
    case Epilogue::bias:
      return CUBLASLT_EPILOGUE_BIAS;
    case Epilogue::relu_bias:
      return CUBLASLT_EPILOGUE_RELU_BIAS;
    default:
      return CUBLASLT_EPILOGUE_DEFAULT;
  }
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
cublasLtMatmulHeuristicResult_t choose(Plan& plan, const Key& key) {
  cublasLtMatmulPreferenceOpaque_t preference;
  LIMBECK_CUBLAS_CHECK(cublasLtMatmulPreferenceInit(&preference));
  const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
    LIMBECK_CUBLAS_CHECK(
        cublasLtMatmulPreferenceSetAttribute(&preference, attribute, &value, sizeof value));
  };
  prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, kWorkspaceBytes);
  prefer(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
         std::uint32_t{CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE});
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, key.align_a);
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, key.align_b);
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, key.align_c);
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, key.align_c);
  const Product& p = key.product;
  cublasLtMatmulHeuristicResult_t choice{};
  int found = 0;
  LIMBECK_CUBLAS_CHECK(cublasLtMatmulAlgoGetHeuristic(handle(p.device), &plan.desc, &plan.a,
                                                      &plan.b, &plan.c, &plan.c, &preference, 1,
                                                      &choice, &found));
  if (found == 0)
    throw CudaError(detail::concat("cuBLASLt: no algorithm for a ", p.c.dtype, " product of ",
                                   p.c.rows, " x ", p.c.columns, " from ", p.a.dtype, " factors ",
                                   p.a.rows, " x ", p.a.columns, " and ", p.b.rows, " x ",
                                   p.b.columns));
  return choice;
}

Plan make_plan(const Key& key, const void* bias) {
  const Product& p = key.product;
  Plan plan{};
  LIMBECK_CUBLAS_CHECK(cublasLtMatmulDescInit(
      &plan.desc, p.tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F, CUDA_R_32F));
  set(plan.desc, CUBLASLT_MATMUL_DESC_TRANSA, p.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N);
  set(plan.desc, CUBLASLT_MATMUL_DESC_TRANSB, p.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N);
  set(plan.desc, CUBLASLT_MATMUL_DESC_EPILOGUE, cuda_epilogue(p.epilogue));
  if (bias) set(plan.desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
  const auto layout = [](cublasLtMatrixLayoutOpaque_t& out, const Matrix& m) {
    LIMBECK_CUBLAS_CHECK(
        cublasLtMatrixLayoutInit(&out, cuda_type(m.dtype), static_cast<std::uint64_t>(m.rows),
                                 static_cast<std::uint64_t>(m.columns), m.leading));
  };
  layout(plan.a, p.a);
  layout(plan.b, p.b);
  layout(plan.c, p.c);
  plan.choice = choose(plan, key);
  return plan;
}

std::mutex plans_mutex;  // held as long as a plan is used

/// Choosing an algorithm takes the library tens of microseconds, so the choice is kept for the next
/// product of the same kind.
Plan& plan_of(const Product& p) {
  static auto* plans = new std::map<Key, Plan>();
  const Key key = key_of(p);
  auto found = plans->find(key);
  if (found == plans->end()) found = plans->emplace(key, make_plan(key, p.bias)).first;
  return found->second;
}

}  // namespace

std::size_t workspace_bytes(const Product& product) {
  const std::lock_guard lock(plans_mutex);
  return plan_of(product).choice.workspaceSize;
}

void multiply(const Product& p) {
  const std::lock_guard lock(plans_mutex);
  Plan& plan = plan_of(p);
  if (p.bias) set(plan.desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, p.bias);
  LIMBECK_CUBLAS_CHECK(cublasLtMatmul(handle(p.device), &plan.desc, &p.alpha, p.a.p, &plan.a, p.b.p,
                                      &plan.b, &p.beta, p.c.p, &plan.c, p.c.p, &plan.c,
                                      &plan.choice.algo, p.workspace, p.workspace_bytes,
                                      backend::stream()));
}

}  // namespace limbeck::cublas
