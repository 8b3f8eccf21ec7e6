// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/encode_and_compare.h>

#include <algorithm>
#include <cmath>

#include <limbeck/core/dispatch.h>
#include <limbeck/kernels/lane_columns.h>
#include <limbeck/kernels/sign_block.h>

namespace limbeck {
namespace {

constexpr const char* kOp = "encode_and_compare";

DType compute_dtype(DType dtype) { return dtype == DType::f64 ? DType::f64 : DType::f32; }

void check_encoder(const char* side, const TapEncoder& encoder, const Tensor& tap, std::int64_t K) {
  const std::int64_t D = tap.dim(1);
  if (std::holds_alternative<GivenCode>(encoder))
    LIMBECK_CHECK(D == K, kOp, ": ", side, " has shape ", tap.shape(), ", K is ", K,
                  "; expected a code (N,K)");
  LIMBECK_CHECK(D >= 1, kOp, ": ", side, " has shape ", tap.shape(),
                "; expected (N,D) with D >= 1");
  const auto* plan = std::get_if<CountSketchPlan>(&encoder);
  if (plan == nullptr) return;
  LIMBECK_CHECK(plan->D == D && plan->K == K, kOp, ": ", side, " has shape ", tap.shape(),
                ", K is ", K, ", its plan for D ", plan->D, " and K ", plan->K, "; expected these");
  LIMBECK_CHECK(plan->target.device() == tap.device(), kOp, ": ", side, " on ", tap.device(),
                ", its plan on ", plan->target.device(), "; expected one device");
}

/// Of an output or weight that may be undefined: its shape, device, and one of two dtypes.
void check_optional(const char* name, const Tensor& t, const Shape& shape, DType dtype,
                    DType or_dtype, Device device) {
  if (!t.defined()) return;
  LIMBECK_CHECK(
      t.shape() == shape && (t.dtype() == dtype || t.dtype() == or_dtype) && t.device() == device,
      kOp, ": ", name, " is ", t.dtype(), t.shape(), " on ", t.device(), "; expected ", dtype,
      shape, " on ", device);
}

void check(const EncodeAndCompareOutputs& out, const Tensor& student, const Tensor& teacher,
           const Tensor& row_weight, const EncodeAndCompareOptions& options) {
  const std::int64_t K = options.K;
  LIMBECK_CHECK(student.defined() && teacher.defined() && out.row_loss.defined(), kOp,
                ": student, teacher or row_loss is undefined");
  LIMBECK_CHECK(1 <= K && K <= kMaxCode, kOp, ": K is ", K, "; expected 1 to ", kMaxCode);
  LIMBECK_CHECK(options.mean_over >= 0 && std::isfinite(options.mean_over), kOp, ": mean_over is ",
                options.mean_over, "; expected >= 0");
  LIMBECK_CHECK(student.rank() == 2 && teacher.rank() == 2 && student.dim(0) == teacher.dim(0), kOp,
                ": student has shape ", student.shape(), ", teacher ", teacher.shape(),
                "; expected (N,Ds) and (N,Dt)");
  const DType dtype = student.dtype(), compute = compute_dtype(dtype);
  LIMBECK_CHECK(is_floating(dtype), kOp, ": student is ", dtype, "; expected a floating dtype");
  const bool given = std::holds_alternative<GivenCode>(options.teacher);
  LIMBECK_CHECK(teacher.dtype() == dtype || (given && teacher.dtype() == compute), kOp,
                ": student is ", dtype, ", teacher ", teacher.dtype(), "; expected ", dtype,
                ", or a code of ", compute);
  LIMBECK_CHECK(student.device() == teacher.device(), kOp, ": student on ", student.device(),
                ", teacher on ", teacher.device(), "; expected one device");
  check_encoder("student", options.student, student, K);
  check_encoder("teacher", options.teacher, teacher, K);
  const Shape rows{student.dim(0)}, codes{student.dim(0), K};
  const Device device = student.device();
  check_optional("row_loss", out.row_loss, rows, compute, compute, device);
  check_optional("row_weight", row_weight, rows, compute, compute, device);
  check_optional("dstudent", out.dstudent, student.shape(), dtype, dtype, device);
  check_optional("student_code", out.student_code, codes, compute, dtype, device);
  check_optional("teacher_code", out.teacher_code, codes, compute, dtype, device);
}

}  // namespace

void encode_and_compare_forward_with_grad(EncodeAndCompareOutputs& out, const Tensor& student,
                                          const Tensor& teacher, const Tensor& row_weight,
                                          const EncodeAndCompareOptions& options) {
  check(out, student, teacher, row_weight, options);
  LIMBECK_DISPATCH(student.device(), encode_and_compare_forward_with_grad(out, student, teacher,
                                                                          row_weight, options));
}

namespace cpu {
namespace {

// Rows per task. Up to kFewRows, fewer, so that there are more tasks.
constexpr std::int64_t kTaskRows = 64, kFewRows = 512, kFewTaskRows = 32;

// A task's room, and what it does with it: codes (rows,K) of up to 64 rows.
template <class F>
struct CodeBlock {
  explicit CodeBlock(std::int64_t code_size)
      : K(code_size),
        lanes_room(Tensor::empty({whole_strips(K), kLanes}, dtype_of<F>())),
        student_room(Tensor::empty({kTaskRows, K}, dtype_of<F>())),
        teacher_room(Tensor::empty({kTaskRows, K}, dtype_of<F>())) {
    lanes = lanes_room.template data<F>();
    student = student_room.template data<F>();
    teacher = teacher_room.template data<F>();
    root = static_cast<F>(1 / std::sqrt(static_cast<double>(K)));
  }

  static_assert(kTaskRows <= SignBlock<F>::kRows);

  template <int kWidth, class T>
  [[gnu::always_inline]] void encode(F* code, const TapEncoder& encoder, const T* x, std::int64_t D,
                                     std::int64_t rows) {
    if (const auto* matrix = std::get_if<RademacherMatrix>(&encoder)) {
      product<true, kWidth>(code, K, x, D, rows, *matrix);
    } else if (const auto* plan = std::get_if<CountSketchPlan>(&encoder)) {
      const std::int32_t* target = plan->target.data<std::int32_t>();
      for (std::int64_t n = 0; n < rows; n += kLanes) {
        const std::int64_t count = std::min<std::int64_t>(kLanes, rows - n);
        std::fill_n(lanes, whole_strips(K) * kLanes, F(0));
        sketch_lanes<kWidth>(lanes, x + n * D, D, count, target, F(1));
        store_lanes<kWidth>(code + n * K, lanes, K, K, count);
      }
    } else {
      convert(code, x, rows * K);
    }
  }

  // dx = the transpose of the encoder applied to the codes in `student`.
  template <int kWidth, class T>
  [[gnu::always_inline]] void decode(T* dx, const TapEncoder& encoder, std::int64_t D,
                                     std::int64_t rows) {
    if (const auto* matrix = std::get_if<RademacherMatrix>(&encoder)) {
      product<false, kWidth>(dx, D, student, K, rows, *matrix);
    } else if (const auto* plan = std::get_if<CountSketchPlan>(&encoder)) {
      const std::int32_t* target = plan->target.data<std::int32_t>();
      for (std::int64_t n = 0; n < rows; n += kLanes) {
        const std::int64_t count = std::min<std::int64_t>(kLanes, rows - n);
        load_lanes<kWidth>(lanes, student + n * K, K, K, count);
        gather_lanes<kWidth>(dx + n * D, &lanes, &target, 1, D, count, F(1));
      }
    } else {
      convert(dx, student, rows * K);
    }
  }

  // student = (student - teacher) times 2w/(K mean_over), row by row; returns each loss.
  template <class Weight, class Loss>
  [[gnu::always_inline]] void compare(std::int64_t rows, double grad_scale, const Weight& weight,
                                      const Loss& loss) {
    for (std::int64_t n = 0; n < rows; ++n) {
      const double w = weight(n);
      F* cs = student + n * K;
      const F* ct = teacher + n * K;
      F sum[kLanes] = {};
      std::int64_t k = 0;
      for (; k + kLanes <= K; k += kLanes) {
#pragma omp simd
        for (int lane = 0; lane < kLanes; ++lane) {
          const F d = cs[k + lane] - ct[k + lane];
          sum[lane] = math::fma(d, d, sum[lane]);
        }
      }
      for (int lane = 0; k + lane < K; ++lane) {
        const F d = cs[k + lane] - ct[k + lane];
        sum[lane] = math::fma(d, d, sum[lane]);
      }
      RowTile<true>::sum_lanes(sum);
      loss(n) = w == 0 ? F(0) : sum[0] * static_cast<F>(w / static_cast<double>(K));
      const F scale = static_cast<F>(w * grad_scale);
#pragma omp simd
      for (std::int64_t j = 0; j < K; ++j) cs[j] = w == 0 ? F(0) : (cs[j] - ct[j]) * scale;
    }
  }

  template <class To, class From>
  [[gnu::always_inline]] static void convert(To* to, const From* from, std::int64_t n) {
#pragma omp simd
    for (std::int64_t i = 0; i < n; ++i) to[i] = static_cast<F>(from[i]);
  }

  template <bool kForward, int kWidth, class Y, class X>
  [[gnu::always_inline]] void product(Y* y, std::int64_t C, const X* x, std::int64_t D,
                                      std::int64_t rows, const RademacherMatrix& matrix) {
    for (std::int64_t j0 = 0; j0 < C; j0 += SignBlock<F>::kCols) {
      const std::int64_t cols = std::min(SignBlock<F>::kCols, C - j0);
      signs.template run<kForward, kWidth>(x, rows, D, matrix, j0, cols);
      for (std::int64_t n = 0; n < rows; ++n) {
        const F* sums = signs.row(n);
#pragma omp simd
        for (std::int64_t j = 0; j < cols; ++j) y[n * C + j0 + j] = sums[j] * root;
      }
    }
  }

  std::int64_t K;
  SignBlock<F> signs;
  Tensor lanes_room, student_room, teacher_room;
  F *lanes, *student, *teacher, root;
};

// Rows [n, n + rows) of a stored code, if it is wanted.
template <class F>
void put_codes(Tensor& stored, const F* code, std::int64_t n, std::int64_t rows, std::int64_t K) {
  if (!stored.defined()) return;
  visit_floating(stored.dtype(), [&]<class C>(TypeTag<C>) {
    C* to = stored.data<C>() + n * K;
    for (std::int64_t i = 0; i < rows * K; ++i) to[i] = static_cast<C>(code[i]);
  });
}

}  // namespace

void encode_and_compare_forward_with_grad(EncodeAndCompareOutputs& out, const Tensor& student,
                                          const Tensor& teacher, const Tensor& row_weight,
                                          const EncodeAndCompareOptions& options) {
  visit_floating(student.dtype(), [&]<class T>(TypeTag<T>) {
    using F = ComputeType<T>;
    const std::int64_t N = student.dim(0), Ds = student.dim(1), Dt = teacher.dim(1), K = options.K;
    const double rows_counted = options.mean_over > 0 ? options.mean_over : static_cast<double>(N);
    const double grad_scale = 2 / (static_cast<double>(K) * rows_counted);
    const F* weights = row_weight.defined() ? row_weight.data<F>() : nullptr;
    F* losses = out.row_loss.data<F>();
    T* dstudent = out.dstudent.defined() ? out.dstudent.data<T>() : nullptr;
    parallel_ranges(
        N, N <= kFewRows ? kFewTaskRows : kTaskRows, [&](std::int64_t begin, std::int64_t end) {
          const std::int64_t rows = end - begin;
          CodeBlock<F> block(K);
          simd([&](auto width) {
            block.template encode<width.value>(block.student, options.student,
                                               student.data<T>() + begin * Ds, Ds, rows);
            if (teacher.dtype() == student.dtype())
              block.template encode<width.value>(block.teacher, options.teacher,
                                                 teacher.data<T>() + begin * Dt, Dt, rows);
            else
              block.convert(block.teacher, teacher.data<F>() + begin * K, rows * K);
          });
          put_codes(out.student_code, block.student, begin, rows, K);
          put_codes(out.teacher_code, block.teacher, begin, rows, K);
          simd([&](auto width) {
            block.compare(
                rows, grad_scale,
                [=](std::int64_t n) {
                  return weights ? static_cast<double>(weights[begin + n]) : 1.0;
                },
                [=](std::int64_t n) -> F& { return losses[begin + n]; });
            if (dstudent)
              block.template decode<width.value>(dstudent + begin * Ds, options.student, Ds, rows);
          });
        });
  });
}

}  // namespace cpu
}  // namespace limbeck
