// SPDX-License-Identifier: Apache-2.0
#include <limbeck/autograd/attention.h>

namespace limbeck {
namespace {

struct Forward {
  Tensor y, lse;
};

Forward run_forward(const Heads& q, const Heads& k, const Heads& v, const Tensor& lengths,
                    const AttentionOptions& options) {
  const Tensor& t = q.tensor;
  const DType wide = t.dtype() == DType::f64 ? DType::f64 : DType::f32;
  Forward f{Tensor::empty({t.dim(0), t.dim(1), q.count, t.dim(3)}, t.dtype(), t.device()),
            Tensor::empty({t.dim(0), q.count, t.dim(1)}, wide, t.device())};
  attention_forward(f.y, f.lse, q, k, v, lengths, options);
  return f;
}

}  // namespace

Variable attention(const Variable& q, const Variable& k, const Variable& v, const Tensor& lengths,
                   const AttentionOptions& options) {
  const Tensor &qv = q.value(), &kv = k.value(), &vv = v.value();
  const Forward f = run_forward(qv, kv, vv, lengths, options);
  return record("attention", f.y, {q, k, v},
                [qv, kv, vv, f, lengths, options](const Tensor& dy, std::span<InputGrad> inputs) {
                  Tensor dq = Tensor::empty_like(qv), dk = Tensor::empty_like(kv),
                         dv = Tensor::empty_like(vv);
                  attention_backward(dq, dk, dv, dy, f.y, f.lse, qv, kv, vv, lengths, options);
                  inputs[0].give(dq);
                  inputs[1].give(dk);
                  inputs[2].give(dv);
                });
}

Variable packed_attention(const Variable& qkv, std::int64_t kv_heads, const Tensor& lengths,
                          const AttentionOptions& options) {
  const Tensor& x = qkv.value();
  LIMBECK_CHECK(x.rank() == 4 && kv_heads >= 1 && x.dim(2) > 2 * kv_heads,
                "packed_attention: qkv has shape ", x.shape(), " with ", kv_heads,
                " heads of keys; expected (N,T,H + 2G,D)");
  const std::int64_t G = kv_heads, H = x.dim(2) - 2 * G;
  const Forward f = run_forward({x, 0, H}, {x, H, G}, {x, H + G, G}, lengths, options);
  return record("packed_attention", f.y, {qkv},
                [x, f, G, H, lengths, options](const Tensor& dy, std::span<InputGrad> inputs) {
                  Tensor dx = Tensor::empty_like(x);
                  attention_backward({dx, 0, H}, {dx, H, G}, {dx, H + G, G}, dy, f.y, f.lse,
                                     {x, 0, H}, {x, H, G}, {x, H + G, G}, lengths, options);
                  inputs[0].give(dx);
                });
}

}  // namespace limbeck
