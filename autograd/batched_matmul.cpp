// SPDX-License-Identifier: Apache-2.0
#include <limbeck/autograd/batched_matmul.h>

#include <limbeck/core/parallel.h>

namespace limbeck {
namespace {

Trans flip(Trans t) { return t == Trans::yes ? Trans::no : Trans::yes; }

/// Matrix n of t (N,M,K).
Tensor matrix(const Tensor& t, std::int64_t n) {
  return t.rows(n, n + 1).reshape({t.dim(1), t.dim(2)});
}

void multiply(Tensor& c, const Tensor& a, Trans ta, const Tensor& b, Trans tb,
              Out out = Out::write) {
  const auto sample = [&](std::int64_t n) {
    Tensor cn = matrix(c, n);
    matmul(cn, matrix(a, n), ta, matrix(b, n), tb, out);
  };
  if (c.device().is_cuda())
    for (std::int64_t n = 0; n < c.dim(0); ++n) sample(n);
  else
    parallel_for(c.dim(0), sample);
}

}  // namespace

Variable batched_matmul(const Variable& a, Trans trans_a, const Variable& b, Trans trans_b) {
  const Tensor &av = a.value(), &bv = b.value();
  LIMBECK_CHECK(av.rank() == 3 && bv.rank() == 3 && av.dim(0) == bv.dim(0),
                "batched_matmul: a has shape ", av.shape(), ", b ", bv.shape(),
                "; expected as many matrices in both");
  const std::int64_t M = av.dim(trans_a == Trans::yes ? 2 : 1);
  const std::int64_t K = bv.dim(trans_b == Trans::yes ? 1 : 2);
  Tensor c = Tensor::empty({av.dim(0), M, K}, av.dtype(), av.device());
  multiply(c, av, trans_a, bv, trans_b);
  // As matmul's, sample by sample.
  return record(
      "batched_matmul", c, {a, b},
      [av, ta = trans_a, bv, tb = trans_b](const Tensor& dc, std::span<InputGrad> inputs) {
        inputs[0].accumulate([&](Tensor& da, Out out) {
          if (ta == Trans::no)
            multiply(da, dc, Trans::no, bv, flip(tb), out);
          else
            multiply(da, bv, tb, dc, Trans::yes, out);
        });
        inputs[1].accumulate([&](Tensor& db, Out out) {
          if (tb == Trans::no)
            multiply(db, av, flip(ta), dc, Trans::no, out);
          else
            multiply(db, dc, Trans::yes, av, ta, out);
        });
      });
}

}  // namespace limbeck
