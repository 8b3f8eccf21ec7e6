// SPDX-License-Identifier: Apache-2.0
// The library of kernels/cudnn.h on the emulated GPU: refuses the calls that cuDNN would refuse or
// get wrong, and computes the others from their addresses and strides when their turn comes.
#include <limbeck/kernels/cudnn.h>

#include <cstring>

#include <limbeck/core/error.h>
#include <limbeck/tests/simt/library.h>
#include <limbeck/tests/simt/memory.h>
#include <limbeck/tests/simt/queue.h>

namespace limbeck::cudnn {
namespace {

using detail::concat;
using simt::Operand;

constexpr const char* kName = "cuDNN";

template <class... Parts>
void require(bool condition, const Parts&... parts) {
  if (!condition) throw CudaError(concat(kName, ": ", parts...));
}

// Both in the order (N,H,W,C), whatever theirs is in memory.
Operand images(const char* name, void* p, const Images& t) {
  const auto &e = t.extents, &s = t.strides;
  return {kName, name, p, t.dtype, {e[0], e[2], e[3], e[1]}, {s[0], s[2], s[3], s[1]}};
}
Operand filter(const char* name, void* p, const Filter& t) {
  const std::int64_t C = t.extents[1], H = t.extents[2], W = t.extents[3];
  const bool last = t.layout == Layout::nhwc;
  return {kName,
          name,
          p,
          t.dtype,
          {t.extents[0], H, W, C},
          {C * H * W, last ? W * C : W, last ? C : 1, last ? 1 : H * W}};
}

struct Operands {
  Operand x, w, y, workspace;

  explicit Operands(const Call& c)
      : x(images("x", c.x, c.problem.x)),
        w(filter("w", c.w, c.problem.w)),
        y(images("y", c.y, c.problem.y)),
        workspace(simt::workspace(kName, c.workspace, c.workspace_bytes)) {}
  const Operand& result(Pass pass) const {
    return pass == Pass::forward ? y : pass == Pass::backward_data ? x : w;
  }
};

void check_output_extent(const Problem& p, std::size_t i) {
  const int window = p.dilation[i] * (p.w.extents[i + 2] - 1) + 1;
  const int room = p.x.extents[i + 2] + 2 * p.padding[i] - window;
  const int extent = room < 0 ? 0 : room / p.stride[i] + 1;
  require(p.y.extents[i + 2] == extent, "y ", i == 0 ? "height" : "width", " ", p.y.extents[i + 2],
          " from x ", p.x.extents[i + 2], ", w ", p.w.extents[i + 2], ", padding ", p.padding[i],
          ", stride ", p.stride[i], ", dilation ", p.dilation[i], "; expected ", extent);
}

void check_types(const Problem& p) {
  const DType dtype = p.x.dtype;
  require((dtype == DType::f32 || dtype == DType::bf16 || dtype == DType::f16) &&
              p.w.dtype == dtype && p.y.dtype == dtype && p.compute == DType::f32,
          "x ", dtype, ", w ", p.w.dtype, ", y ", p.y.dtype, ", computed in ", p.compute,
          "; expected one of f32, bf16 and f16, computed in f32");
}

void check_extents(const Problem& p) {
  require(p.groups >= 1 && p.dilation[0] == p.dilation[1] && p.stride[0] == p.stride[1] &&
              p.padding[0] == p.padding[1] && p.dilation[0] >= 1 && p.stride[0] >= 1 &&
              p.padding[0] >= 0,
          "groups ", p.groups, ", dilation (", p.dilation[0], ",", p.dilation[1], "), stride (",
          p.stride[0], ",", p.stride[1], "), padding (", p.padding[0], ",", p.padding[1],
          "); expected what is emulated: the same both ways");
  require(p.x.extents[1] == p.w.extents[1] * p.groups && p.w.extents[0] % p.groups == 0 &&
              p.y.extents[1] == p.w.extents[0] && p.y.extents[0] == p.x.extents[0],
          "x has N ", p.x.extents[0], ", C ", p.x.extents[1], ", y N ", p.y.extents[0], ", C ",
          p.y.extents[1], ", w (", p.w.extents[0], ",", p.w.extents[1], ",..) in ", p.groups,
          " groups; expected (N,C), (N,O) and (O,C/groups,..)");
  check_output_extent(p, 0);
  check_output_extent(p, 1);
}

/// Weights in NHWC go with images whose pixels and rows follow each other without gaps.
void check_layout(const char* name, const Images& t, Layout layout) {
  const auto [N, C, H, W] = t.extents;
  const std::array packed = {t.strides[0], 1, W * C, C};
  require(layout == Layout::nchw || (t.strides == packed && (N == 1 || t.strides[0] >= H * W * C)),
          name, " has C, H and W strides (", t.strides[1], ",", t.strides[2], ",", t.strides[3],
          "), w is in NHWC; expected (", packed[1], ",", packed[2], ",", packed[3], ")");
}

void check(const Problem& p) {
  require(p.device == 0, "device ", p.device, "; expected 0");
  require(p.deterministic, "any algorithm may be taken; expected deterministic ones alone");
  check_types(p);
  check_extents(p);
  check_layout("x", p.x, p.w.layout);
  check_layout("y", p.y, p.w.layout);
}

void check(const Call& c) {
  check(c.problem);
  const Operands all(c);
  for (const Operand* o : {&all.x, &all.w, &all.y}) o->check(kAlignment);
  const Operand& result = all.result(c.problem.pass);
  for (const Operand* o : {&all.x, &all.w, &all.y})
    if (o != &result) check_apart(result, *o);
  const std::size_t needed = workspace_bytes(c.problem);
  require(c.workspace_bytes >= needed, "a workspace of ", c.workspace_bytes, " bytes; expected ",
          needed);
  if (c.workspace_bytes == 0) return;
  all.workspace.check(kAlignment);
  for (const Operand* o : {&all.x, &all.w, &all.y}) check_apart(all.workspace, *o);
}

Tensor convolution(const Problem& p, const Operands& all) {
  const bool cores = p.tensor_cores;
  const Conv2dOptions options = {.stride = p.stride[0],
                                 .padding = p.padding[0],
                                 .dilation = p.dilation[0],
                                 .groups = p.groups};
  const auto& e = all.result(p.pass).extents;
  Tensor r = Tensor::empty({e[0], e[1], e[2], e[3]});
  if (p.pass == Pass::forward)
    cpu::conv2d_forward(r, factor(all.x, cores), factor(all.w, cores), Tensor(), options);
  else if (p.pass == Pass::backward_data)
    cpu::conv2d_backward_data(r, factor(all.y, cores), factor(all.w, cores), options);
  else
    cpu::conv2d_backward_weight(r, factor(all.x, cores), factor(all.y, cores), Out::write, options);
  return r;
}

void compute(const Call& c) {
  const Operands all(c);
  const Operand& result = all.result(c.problem.pass);
  if (c.workspace_bytes > 0) {
    const simt::DeviceMemoryAccess open;
    std::memset(c.workspace, 0xff, c.workspace_bytes);
  }
  Tensor r = convolution(c.problem, all);
  float* p = r.data<float>();
  const Tensor before = c.beta == 0 ? r : result.gather().to(DType::f32);
  for (std::int64_t i = 0; i < r.numel(); ++i)
    p[i] = c.alpha * p[i] + (c.beta == 0 ? 0 : c.beta * before.data<float>()[i]);
  result.scatter(r.to(result.dtype));
}

}  // namespace

// Some need one and some do not.
std::size_t workspace_bytes(const Problem& problem) {
  return problem.pass == Pass::forward ? 0 : 1000;
}

void run(const Call& call) {
  check(call);
  simt::enqueue([call] {
    check(call);
    compute(call);
  });
}

}  // namespace limbeck::cudnn
