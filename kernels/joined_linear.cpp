// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/joined_linear.h>

#include <algorithm>
#include <array>

#include <limbeck/core/dispatch.h>
#include <limbeck/core/math_mode.h>
#include <limbeck/kernels/gemm.h>
#include <limbeck/kernels/matmul.h>

namespace limbeck {

struct PackedWeight::Content {
  cpu::PackedMatrix<float> f32;
  cpu::PackedMatrix<double> f64;

  template <class T>
  const T* strips(std::int64_t n, std::int64_t k) const {
    if constexpr (sizeof(T) == 8)
      return f64.strips(n, k);
    else
      return f32.strips(n, k);
  }
};

PackedWeight::PackedWeight(const Tensor& w) {
  LIMBECK_CHECK(w.defined() && w.rank() == 2 && is_floating(w.dtype()),
                "PackedWeight: w has shape ", w.defined() ? w.shape() : Shape{},
                "; expected a matrix of a floating dtype");
  if (w.device().is_cuda() || math_mode() == MathMode::fast || w.numel() == 0) return;
  auto content = std::make_shared<Content>();
  visit_floating(w.dtype(), [&](auto tag) {
    using In = typename decltype(tag)::type;
    const cpu::Strided<const In> transposed = {w.data<In>(), 1, w.dim(1)};
    if constexpr (sizeof(In) == 8)
      content->f64 = cpu::PackedMatrix<double>(w.dim(0), w.dim(1), transposed);
    else
      content->f32 = cpu::PackedMatrix<float>(w.dim(0), w.dim(1), transposed);
  });
  content_ = std::move(content);
}

namespace {

void check_part(const LinearPart& part, const Tensor& x) {
  const Tensor &w = part.w, &bias = part.bias;
  LIMBECK_CHECK(w.defined() && w.rank() == 2 && x.rank() == 2 && x.dim(1) == w.dim(1),
                "joined_linear: x has shape ", x.shape(), ", w ", w.defined() ? w.shape() : Shape{},
                "; expected (N,I) and (O,I)");
  const Shape out = {x.dim(0), w.dim(0)};
  check_joined("joined_linear", "w", w, w.shape(), x);
  check_joined("joined_linear", "y", part.y, out, x);
  if (bias.defined()) check_joined("joined_linear", "bias", bias, {w.dim(0)}, x);
  if (part.pre.defined()) check_joined("joined_linear", "pre", part.pre, out, x);
}

}  // namespace

void joined_linear_forward(std::span<LinearPart> parts, const Tensor& x, const WeightStack& stack) {
  check_joined_count("joined_linear", parts.size());
  LIMBECK_CHECK(x.defined() && is_floating(x.dtype()), "joined_linear: x is ",
                x.defined() ? dtype_name(x.dtype()) : "undefined", "; expected a floating dtype");
  for (const LinearPart& part : parts) check_part(part, x);
  check_stack<LinearPart>("joined_linear", stack, parts);
  LIMBECK_DISPATCH(x.device(), joined_linear_forward(parts, x, stack));
}

namespace cpu {
namespace {

bool relu_in_product(const LinearPart& part) {
  return part.act == Activation::relu && !part.pre.defined();
}

/// Where the product of a part goes.
Tensor& product_of(LinearPart& part) { return part.pre.defined() ? part.pre : part.y; }

void activate(LinearPart& part) {
  if (part.act != Activation::none && !relu_in_product(part))
    cpu::activation_forward(part.y, product_of(part), part.act);
  else if (part.pre.defined())
    part.y.copy_from(part.pre);
}

/// Rows [first, first + c_i's) of x times all weights, into c_i of the type of the sums.
template <class In>
void exact_rows(std::span<LinearPart> parts, std::span<Tensor> c, const Tensor& x,
                std::int64_t first) {
  using T = ComputeType<In>;
  std::array<GemmProblem<T, In>, kMaxJoined> problems;
  std::array<Tensor, kMaxJoined> wide_bias;
  const std::int64_t K = x.dim(1);
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const LinearPart& part = parts[i];
    const std::int64_t O = part.w.dim(0);
    if (part.bias.defined()) wide_bias[i] = part.bias.to(dtype_of<T>());
    problems[i] = {
        .m = c[i].dim(0),
        .n = O,
        .k = K,
        .a = {x.data<In>() + first * K, K, 1},
        .b = {part.w.data<In>(), 1, K},
        .c = c[i].data<T>(),
        .ldc = O,
        .epilogue = {part.bias.defined() ? wide_bias[i].data<T>() : nullptr, relu_in_product(part)},
        .packed = part.packed.empty() ? nullptr : part.packed.content()->strips<T>(O, K)};
  }
  gemm_all<T, In>(std::span<const GemmProblem<T, In>>(problems.data(), parts.size()));
}

constexpr std::int64_t kHalfRows = 128;  // whose f32 sums are kept before they are rounded

void exact_products(std::span<LinearPart> parts, const Tensor& x) {
  std::array<Tensor, kMaxJoined> c;
  const bool half = dtype_size(x.dtype()) == 2;
  const std::int64_t N = x.dim(0), block = half ? kHalfRows : std::max<std::int64_t>(N, 1);
  for (std::int64_t first = 0; first < N; first += block) {
    const std::int64_t end = std::min(N, first + block);
    for (std::size_t i = 0; i < parts.size(); ++i)
      c[i] = half ? Tensor::empty({end - first, parts[i].w.dim(0)}) : product_of(parts[i]);
    visit_floating(x.dtype(), [&](auto tag) {
      exact_rows<typename decltype(tag)::type>(parts, std::span(c.data(), parts.size()), x, first);
    });
    for (std::size_t i = 0; half && i < parts.size(); ++i)
      product_of(parts[i]).rows(first, end).copy_from(c[i].to(x.dtype()));
  }
}

}  // namespace

void joined_linear_forward(std::span<LinearPart> parts, const Tensor& x, const WeightStack&) {
  if (math_mode() == MathMode::fast) {
    for (LinearPart& part : parts)
      cpu::linear_forward(part.y, part.pre.defined() ? &part.pre : nullptr, x, part.w, part.bias,
                          part.act);
    return;
  }
  exact_products(parts, x);
  for (LinearPart& part : parts) activate(part);
}

}  // namespace cpu

}  // namespace limbeck
