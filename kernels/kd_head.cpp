// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/kd_head.h>

#include <algorithm>

#include <limbeck/core/dispatch.h>
#include <limbeck/kernels/elementwise.h>
#include <limbeck/kernels/labels.h>
#include <limbeck/kernels/matmul.h>

namespace limbeck {
namespace {

constexpr std::int64_t kRowBlock = 128;  // a tile of a product on a GPU

std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

DType sum_dtype(DType dtype) { return dtype == DType::f64 ? DType::f64 : DType::f32; }

void check_matrix(const char* what, const Tensor& t) {
  LIMBECK_CHECK(t.defined() && t.rank() == 2 && t.dim(1) >= 1, "kd_head: ", what, " has shape ",
                t.defined() ? t.shape() : Shape{}, "; expected a matrix with columns");
  LIMBECK_CHECK(is_floating(t.dtype()), "kd_head: ", what, " is ", t.dtype(),
                "; expected a floating dtype");
}

void check_model(const char* model, const Tensor& hidden, const Tensor& weight) {
  const std::string hidden_name = detail::concat(model, "_hidden");
  const std::string weight_name = detail::concat(model, "_weight");
  check_matrix(hidden_name.c_str(), hidden);
  check_matrix(weight_name.c_str(), weight);
  LIMBECK_CHECK(hidden.dim(1) == weight.dim(1), "kd_head: ", hidden_name, " has shape ",
                hidden.shape(), ", ", weight_name, " ", weight.shape(),
                "; expected (N,H) and (V,H)");
  LIMBECK_CHECK(hidden.dtype() == weight.dtype() && hidden.device() == weight.device(),
                "kd_head: ", hidden_name, " is ", hidden.dtype(), " on ", hidden.device(), ", ",
                weight_name, " ", weight.dtype(), " on ", weight.device(), "; expected them equal");
}

void check_pair(const Tensor& student_hidden, const Tensor& student_weight,
                const Tensor& teacher_hidden, const Tensor& teacher_weight) {
  check_model("student", student_hidden, student_weight);
  check_model("teacher", teacher_hidden, teacher_weight);
  LIMBECK_CHECK(student_weight.dim(0) >= 1, "kd_head: student_weight has shape ",
                student_weight.shape(), "; expected (V,Hs) with V >= 1");
  LIMBECK_CHECK(teacher_hidden.dim(0) == student_hidden.dim(0),
                "kd_head: teacher_hidden has shape ", teacher_hidden.shape(), ", student_hidden ",
                student_hidden.shape(), "; expected equally many rows");
  LIMBECK_CHECK(teacher_weight.dim(0) == student_weight.dim(0),
                "kd_head: teacher_weight has shape ", teacher_weight.shape(), ", student_weight ",
                student_weight.shape(), "; expected equally many classes");
  const DType student = student_hidden.dtype(), teacher = teacher_hidden.dtype();
  LIMBECK_CHECK(teacher == student || (student == DType::f32 && dtype_size(teacher) == 2),
                "kd_head: teacher_hidden is ", teacher, ", student_hidden ", student,
                "; expected equal dtypes, or 16 bits to an f32 student");
  LIMBECK_CHECK(teacher_hidden.device() == student_hidden.device(), "kd_head: teacher_hidden on ",
                teacher_hidden.device(), ", student_hidden on ", student_hidden.device(),
                "; expected one device");
}

void check_output(const char* what, const Tensor& t, const Shape& shape, DType dtype,
                  Device device) {
  LIMBECK_CHECK(t.shape() == shape && t.dtype() == dtype && t.device() == device, "kd_head: ", what,
                " is ", t.dtype(), t.shape(), " on ", t.device(), "; expected ", dtype, shape,
                " on ", device);
}

/// visit(name, tensor) for each that is defined.
template <class Rows, class Visit>
void for_each_row_tensor(Rows& rows, Visit visit) {
  const auto one = [&](const char* name, auto& t) {
    if (t.defined()) visit(name, t);
  };
  one("weight", rows.weight);
  one("student_lse", rows.student_lse);
  one("teacher_lse", rows.teacher_lse);
  one("student_entropy", rows.student_entropy);
  one("teacher_entropy", rows.teacher_entropy);
  one("agreement", rows.agreement);
}

KdLossRows slice(KdLossRows rows, std::int64_t begin, std::int64_t end) {
  for_each_row_tensor(rows, [&](const char*, Tensor& t) { t = t.rows(begin, end); });
  return rows;
}

struct Head {
  const Tensor &hidden, &weight;

  void logits(Tensor& z, std::int64_t begin, std::int64_t end) const {
    matmul(z, hidden.rows(begin, end), Trans::no, weight, Trans::yes);
  }
};

/// What finished gradients are still to be multiplied with: a number, or one on the device.
struct Factor {
  double given = 1;
  Tensor counted;

  void multiply(Tensor& t) const {
    if (!t.defined()) return;
    if (counted.defined())
      scale_by(t, t, counted);
    else if (given != 1)
      scale(t, t, given);
  }
};

/// The gradients, either undefined.
struct Gradients {
  Tensor hidden, weight;

  bool wanted() const { return hidden.defined() || weight.defined(); }
  void take(const Tensor& dlogits, const Head& student, std::int64_t begin, std::int64_t end) {
    if (hidden.defined()) {
      Tensor rows = hidden.rows(begin, end);
      matmul(rows, dlogits, Trans::no, student.weight, Trans::no);
    }
    if (weight.defined())
      matmul(weight, dlogits, Trans::yes, student.hidden.rows(begin, end), Trans::no,
             begin == 0 ? Out::write : Out::add);
  }
};

void run_chunks(Tensor& row_loss, Gradients& gradients, const Head& student, const Head& teacher,
                const Tensor& labels, const KdLossOptions& loss, const KdLossRows& rows,
                std::int64_t chunk) {
  const std::int64_t N = student.hidden.dim(0), V = student.weight.dim(0);
  const DType dtype = student.hidden.dtype();
  const Device device = student.hidden.device();
  const Tensor all_student = Tensor::empty({chunk, V}, dtype, device);
  const Tensor all_teacher = Tensor::empty({chunk, V}, dtype, device);
  for (std::int64_t begin = 0; begin < N; begin += chunk) {
    const std::int64_t end = std::min(N, begin + chunk);
    Tensor zs = all_student.rows(0, end - begin), zt = all_teacher.rows(0, end - begin);
    teacher.logits(zt, begin, end);
    student.logits(zs, begin, end);
    Tensor losses = row_loss.rows(begin, end), dlogits = gradients.wanted() ? zs : Tensor();
    kd_loss_forward_with_grad(losses, dlogits, zs, zt,
                              labels.defined() ? labels.rows(begin, end) : labels, loss,
                              slice(rows, begin, end));
    gradients.take(dlogits, student, begin, end);
  }
}

/// Sets what kd_loss is to divide by; returns the rest of the division.
Factor choose_mean(KdLossOptions& loss, const Tensor& labels, std::int64_t N, DType dtype,
                   Device device) {
  const bool given = loss.mean_over != 0 || !labels.defined();
  if (loss.mean_over == 0) loss.mean_over = static_cast<double>(N);
  if (given && dtype != DType::f16) return {};
  Factor factor{1 / loss.mean_over, {}};
  if (!given) {
    factor.counted = Tensor::empty({1}, sum_dtype(dtype), device);
    inverse_label_count(factor.counted, labels);
  }
  loss.mean_over = 1;
  return factor;
}

}  // namespace

std::int64_t kd_head_chunk_rows(std::int64_t N, std::int64_t V, DType dtype,
                                std::size_t logits_bytes) {
  const std::size_t row = 2 * static_cast<std::size_t>(V) * dtype_size(dtype);
  const auto fit = static_cast<std::int64_t>(std::max<std::size_t>(logits_bytes / row, 1));
  if (fit >= N) return std::max<std::int64_t>(N, 1);
  if (fit < kRowBlock) return fit;
  const std::int64_t chunks = ceil_div(N, fit / kRowBlock * kRowBlock);
  return ceil_div(ceil_div(N, chunks), kRowBlock) * kRowBlock;
}

void kd_head_forward_with_grad(Tensor& row_loss, Tensor& dhidden, Tensor& dweight,
                               const Tensor& student_hidden, const Tensor& student_weight,
                               const Tensor& teacher_hidden, const Tensor& teacher_weight,
                               const Tensor& labels, const KdHeadOptions& options,
                               const KdLossRows& rows) {
  check_pair(student_hidden, student_weight, teacher_hidden, teacher_weight);
  const std::int64_t N = student_hidden.dim(0), V = student_weight.dim(0);
  const DType dtype = student_hidden.dtype();
  const Device device = student_hidden.device();
  check_output("row_loss", row_loss, {N}, sum_dtype(dtype), device);
  if (dhidden.defined()) check_output("dhidden", dhidden, student_hidden.shape(), dtype, device);
  if (dweight.defined())
    check_output("dweight", dweight, student_weight.shape(), sum_dtype(dtype), device);
  if (labels.defined()) check_labels("kd_head", labels, N, V, device);
  for_each_row_tensor(rows, [&](const char* name, const Tensor& t) {
    check_output(name, t, {N}, sum_dtype(dtype), device);
  });
  LIMBECK_CHECK(options.loss.mean_over >= 0, "kd_head: mean_over is ", options.loss.mean_over,
                "; expected >= 0");

  if (N == 0) {
    if (dweight.defined()) dweight.fill(0);
    return;
  }
  KdLossOptions loss = options.loss;
  Gradients gradients{dhidden, dweight};
  const Factor factor = choose_mean(loss, labels, N, dtype, device);
  run_chunks(row_loss, gradients, {student_hidden, student_weight},
             {teacher_hidden, teacher_weight}, labels, loss, rows,
             kd_head_chunk_rows(N, V, dtype, options.logits_bytes));
  factor.multiply(gradients.hidden);
  factor.multiply(gradients.weight);
}

void inverse_label_count(Tensor& scale, const Tensor& labels) {
  LIMBECK_CHECK(scale.shape() == Shape{1} && scale.device() == labels.device() &&
                    (scale.dtype() == DType::f32 || scale.dtype() == DType::f64),
                "inverse_label_count: scale is ", scale.dtype(), scale.shape(), " on ",
                scale.device(), "; expected one f32 or f64 on ", labels.device());
  LIMBECK_CHECK(labels.rank() == 1 && labels.dtype() == DType::i32,
                "inverse_label_count: labels is ", labels.dtype(), labels.shape(),
                "; expected i32(N)");
  LIMBECK_DISPATCH(labels.device(), inverse_label_count(scale, labels));
}

namespace cpu {

void inverse_label_count(Tensor& scale, const Tensor& labels) {
  scale.fill(mean_scale(0, labels.data<std::int32_t>(), labels.numel()));
}

}  // namespace cpu
}  // namespace limbeck
