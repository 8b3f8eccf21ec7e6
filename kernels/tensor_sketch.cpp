// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/tensor_sketch.h>

#include <algorithm>
#include <cmath>

#include <limbeck/core/dispatch.h>
#include <limbeck/kernels/lane_columns.h>

namespace limbeck {
namespace {

void check(const char* op, const char* wide_name, const Tensor& wide, const char* code_name,
           const Tensor& code, const TensorSketchPlan& plan) {
  LIMBECK_CHECK(wide.defined() && code.defined(), op, ": ", wide_name, " or ", code_name,
                " is undefined");
  LIMBECK_CHECK(!plan.factors.empty(), op, ": plan is empty; expected one of tensor_sketch_plan");
  LIMBECK_CHECK(is_floating(wide.dtype()), op, ": ", wide_name, " is ", wide.dtype(),
                "; expected a floating dtype");
  LIMBECK_CHECK(code.dtype() == wide.dtype(), op, ": ", wide_name, " is ", wide.dtype(), ", ",
                code_name, " ", code.dtype(), "; expected equal dtypes");
  const CountSketchPlan& factor = plan.factors[0];
  const bool fits = wide.rank() == 2 && wide.dim(1) == factor.D - 1 &&
                    code.shape() == Shape({wide.dim(0), factor.K});
  LIMBECK_CHECK(fits, op, ": ", wide_name, " has shape ", wide.shape(), ", ", code_name, " ",
                code.shape(), "; expected (N,", factor.D - 1, ") and (N,", factor.K, ")");
  const Device device = factor.target.device();
  LIMBECK_CHECK(wide.device() == code.device() && wide.device() == device, op, ": ", wide_name,
                " on ", wide.device(), ", ", code_name, " on ", code.device(), ", plan on ", device,
                "; expected one device");
}

}  // namespace

TensorSketchPlan tensor_sketch_plan(std::int64_t D, std::int64_t K,
                                    const TensorSketchOptions& options, Device device) {
  LIMBECK_CHECK(1 <= options.degree && options.degree <= kMaxDegree,
                "tensor_sketch_plan: degree is ", options.degree, "; expected 1 to ", kMaxDegree);
  LIMBECK_CHECK(options.gamma > 0 && std::isfinite(options.gamma), "tensor_sketch_plan: gamma is ",
                options.gamma, "; expected > 0");
  LIMBECK_CHECK(options.c >= 0 && std::isfinite(options.c), "tensor_sketch_plan: c is ", options.c,
                "; expected >= 0");
  LIMBECK_CHECK(1 <= D, "tensor_sketch_plan: D is ", D, "; expected >= 1");
  LIMBECK_CHECK(1 <= K && K <= kMaxTensorSketch, "tensor_sketch_plan: K is ", K, "; expected 1 to ",
                kMaxTensorSketch);
  TensorSketchPlan plan{options.gamma, options.c, {}};
  for (std::uint32_t j = 0; j < static_cast<std::uint32_t>(options.degree); ++j)
    plan.factors.push_back(count_sketch_plan(D + 1, K, {options.seed, options.layer, j}, device));
  return plan;
}

void tensor_sketch_forward(Tensor& y, const Tensor& x, const TensorSketchPlan& plan) {
  check("tensor_sketch_forward", "x", x, "y", y, plan);
  LIMBECK_DISPATCH(x.device(), tensor_sketch_forward(y, x, plan));
}

void tensor_sketch_backward(Tensor& dx, const Tensor& dy, const Tensor& x,
                            const TensorSketchPlan& plan) {
  check("tensor_sketch_backward", "x", x, "dy", dy, plan);
  LIMBECK_CHECK(dx.shape() == x.shape() && dx.dtype() == x.dtype() && dx.device() == x.device(),
                "tensor_sketch_backward: dx is ", dx.dtype(), dx.shape(), " on ", dx.device(),
                ", x ", x.dtype(), x.shape(), " on ", x.device(), "; expected equal ones");
  LIMBECK_DISPATCH(x.device(), tensor_sketch_backward(dx, dy, x, plan));
}

namespace cpu {
namespace {

constexpr std::int64_t kSteps = 4;    // unrolled
constexpr std::int64_t kChain = 128;  // steps of i whose operands stay in L1

// Codes of 16 rows, one to a lane, in columns of 16; each has room for whole strips.
template <class F>
class Codes {
 public:
  Codes(F* buffer, const TensorSketchPlan& plan)
      : plan_(plan), K_(plan.factors[0].K), size_(whole_strips(K_) * kLanes), buffer_(buffer) {}

  /// Columns for `codes` codes and an operand of a convolution, twice as long.
  static std::int64_t columns(const TensorSketchPlan& plan, std::int64_t codes) {
    return (codes + 2) * whole_strips(plan.factors[0].K);
  }
  F* operator[](std::int64_t i) const { return buffer_ + i * size_ + 2 * size_; }

  const std::int32_t* target(std::size_t j) const {
    return plan_.factors[j].target.template data<std::int32_t>();
  }
  F root() const { return static_cast<F>(std::sqrt(plan_.gamma)); }

  /// code = factor j's count sketch of the rows at x and the constant.
  template <int kWidth, class T>
  void sketch(F* code, std::size_t j, const T* x, std::int64_t rows) const {
    const std::int64_t D = plan_.factors[j].D - 1;
    std::fill_n(code, size_, F(0));
    sketch_lanes<kWidth>(code, x, D, rows, target(j), root());
    F ones[kLanes];
    std::fill_n(ones, kLanes, F(1));
    add_to_buckets(code, ones, target(j) + D, 1, static_cast<F>(std::sqrt(plan_.c)));
  }
  template <int kWidth>
  void convolve(F* z, const F* a, const F* b) const {
    unroll(b, false);
    multiply<kWidth>(z, a);
  }
  template <int kWidth>
  void correlate(F* z, const F* g, const F* m) const {
    unroll(m, true);
    multiply<kWidth>(z, g);
  }

 private:
  // The operand so that k - i needs no remainder: column size + j is b_(j mod K), or b_(-j mod K).
  void unroll(const F* b, bool reversed) const {
    const std::int64_t half = size_ / kLanes;
    std::int64_t k = (reversed ? half : K_ - half % K_) % K_;
    for (std::int64_t j = -half; j < half; ++j) {
      std::copy_n(b + k * kLanes, kLanes, buffer_ + (half + j) * kLanes);
      k += reversed ? (k == 0 ? K_ - 1 : -1) : (k == K_ - 1 ? 1 - K_ : 1);
    }
  }

  // z_k = sum of a_i times the operand at k - i. Past K, a is 0 and z made so.
  template <int kWidth>
  void multiply(F* z, const F* a) const {
    constexpr std::int64_t kOutputs = kWidth == 16 ? 8 : 4;  // as many chains as hide fma's latency
    const std::int64_t columns = (K_ + kOutputs - 1) / kOutputs * kOutputs;
    for (std::int64_t i = 0; i < columns; i += kChain)
      for (std::int64_t k = 0; k < columns; k += kOutputs)
        chain<kOutputs>(z + k * kLanes, a + i * kLanes, buffer_ + size_ + (k - i) * kLanes,
                        std::min(kChain, columns - i), i > 0);
    std::fill(z + K_ * kLanes, z + size_, F(0));
  }

  // Goes on with kOutputs chains for `steps` steps, a multiple of kSteps.
  template <std::int64_t kOutputs>
  [[gnu::always_inline]] static inline void chain(F* z, const F* a, const F* b, std::int64_t steps,
                                                  bool from_z) {
    F sum[kOutputs][kLanes];
    for (int k = 0; k < kOutputs; ++k)
      for (int lane = 0; lane < kLanes; ++lane) sum[k][lane] = from_z ? z[k * kLanes + lane] : F(0);
    for (std::int64_t i = 0; i < steps; i += kSteps) {
#pragma GCC unroll 4
      for (int s = 0; s < kSteps; ++s) {
        const F* x = a + (i + s) * kLanes;
        const F* y = b - (i + s) * kLanes;
#pragma GCC unroll 8
        for (int k = 0; k < kOutputs; ++k) {
#pragma omp simd
          for (int lane = 0; lane < kLanes; ++lane)
            sum[k][lane] = math::fma(x[lane], y[k * kLanes + lane], sum[k][lane]);
        }
      }
    }
    for (int k = 0; k < kOutputs; ++k)
      for (int lane = 0; lane < kLanes; ++lane) z[k * kLanes + lane] = sum[k][lane];
  }

  const TensorSketchPlan& plan_;
  std::int64_t K_, size_;
  F* buffer_;  // the operand of a convolution, then the codes
};

// Work of a row in units of an element read.
std::int64_t row_work(const TensorSketchPlan& plan) {
  const auto degree = static_cast<std::int64_t>(plan.factors.size());
  const CountSketchPlan& factor = plan.factors[0];
  return degree * factor.D + (degree - 1) * factor.K * factor.K / 4;
}

}  // namespace

void tensor_sketch_forward(Tensor& y, const Tensor& x, const TensorSketchPlan& plan) {
  visit_floating(x.dtype(), [&]<class T>(TypeTag<T>) {
    using F = ComputeType<T>;
    T* out = y.data<T>();
    const T* in = x.data<T>();
    const std::int64_t D = x.dim(1), K = y.dim(1);
    for_each_16_rows<F>(x.dim(0), row_work(plan), Codes<F>::columns(plan, 3),
                        [&](auto width, std::int64_t n, std::int64_t rows, F* buffer) {
                          const Codes<F> codes(buffer, plan);
                          F *product = codes[0], *next = codes[1];
                          codes.template sketch<width.value>(product, 0, in + n * D, rows);
                          for (std::size_t j = 1; j < plan.factors.size(); ++j) {
                            codes.template sketch<width.value>(codes[2], j, in + n * D, rows);
                            codes.template convolve<width.value>(next, product, codes[2]);
                            std::swap(product, next);
                          }
                          store_lanes<width.value>(out + n * K, product, K, K, rows);
                        });
  });
}

void tensor_sketch_backward(Tensor& dx, const Tensor& dy, const Tensor& x,
                            const TensorSketchPlan& plan) {
  visit_floating(x.dtype(), [&]<class T>(TypeTag<T>) {
    using F = ComputeType<T>;
    T* out = dx.data<T>();
    const T *in = x.data<T>(), *grad_in = dy.data<T>();
    const std::int64_t D = x.dim(1), K = dy.dim(1);
    const int degree = static_cast<int>(plan.factors.size());
    for_each_16_rows<F>(
        x.dim(0), 3 * row_work(plan), Codes<F>::columns(plan, 3 * kMaxDegree),
        [&](auto width, std::int64_t n, std::int64_t rows, F* buffer) {
          const Codes<F> codes(buffer, plan);
          // Codes C_j, products m_j of the first ones up to C_j, and gradients of C_j.
          F *code[kMaxDegree], *product[kMaxDegree], *grad[kMaxDegree];
          const std::int32_t* target[kMaxDegree];
          for (int j = 0; j < degree; ++j) {
            target[j] = codes.target(static_cast<std::size_t>(j));
            code[j] = codes[3 * j], product[j] = j > 0 ? codes[3 * j + 1] : code[0];
            grad[j] = codes[3 * j + 2];
            codes.template sketch<width.value>(code[j], static_cast<std::size_t>(j), in + n * D,
                                               rows);
            if (0 < j && j < degree - 1)
              codes.template convolve<width.value>(product[j], product[j - 1], code[j]);
          }
          // Of product j, in what was its place; first of the last one, y.
          F* dproduct = product[degree - 1];
          load_lanes<width.value>(dproduct, grad_in + n * K, K, K, rows);
          std::fill(dproduct + K * kLanes, dproduct + whole_strips(K) * kLanes, F(0));
          for (int j = degree - 1; j > 0; --j) {
            codes.template correlate<width.value>(grad[j], dproduct, product[j - 1]);
            codes.template correlate<width.value>(product[j - 1], dproduct, code[j]);
            dproduct = product[j - 1];
          }
          grad[0] = dproduct;
          gather_lanes<width.value>(out + n * D, grad, target, degree, D, rows, codes.root());
        });
  });
}

}  // namespace cpu
}  // namespace limbeck
