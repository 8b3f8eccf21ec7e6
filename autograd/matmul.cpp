// SPDX-License-Identifier: Apache-2.0
#include <limbeck/autograd/matmul.h>

namespace limbeck {
namespace {

Trans flip(Trans t) { return t == Trans::yes ? Trans::no : Trans::yes; }

// c = op(a) op(b):  d op(a) = dc op(b)^T  and  d op(b) = op(a)^T dc; where op transposes, the
// gradient of the stored matrix is the transpose of that.
void matmul_backward(const Tensor& dc, std::span<InputGrad> inputs, const Tensor& a, Trans ta,
                     const Tensor& b, Trans tb) {
  inputs[0].accumulate([&](Tensor& da, Out out) {
    if (ta == Trans::no)
      matmul(da, dc, Trans::no, b, flip(tb), out);
    else
      matmul(da, b, tb, dc, Trans::yes, out);
  });
  inputs[1].accumulate([&](Tensor& db, Out out) {
    if (tb == Trans::no)
      matmul(db, a, flip(ta), dc, Trans::no, out);
    else
      matmul(db, dc, Trans::yes, a, ta, out);
  });
}

}  // namespace

Variable matmul(const Variable& a, Trans trans_a, const Variable& b, Trans trans_b) {
  const Tensor& av = a.value();
  const Tensor& bv = b.value();
  LIMBECK_CHECK(av.rank() == 2 && bv.rank() == 2, "matmul: a has shape ", av.shape(), ", b ",
                bv.shape(), "; expected two matrices");
  const std::int64_t M = av.dim(trans_a == Trans::yes ? 1 : 0);
  const std::int64_t N = bv.dim(trans_b == Trans::yes ? 0 : 1);
  Tensor c = Tensor::empty({M, N}, av.dtype(), av.device());
  matmul(c, av, trans_a, bv, trans_b);
  return record("matmul", c, {a, b},
                [av, trans_a, bv, trans_b](const Tensor& dc, std::span<InputGrad> inputs) {
                  matmul_backward(dc, inputs, av, trans_a, bv, trans_b);
                });
}

}  // namespace limbeck
