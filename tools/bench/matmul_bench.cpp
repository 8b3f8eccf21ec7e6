// SPDX-License-Identifier: Apache-2.0
// Times of the matrix product, at the sizes of a small multilayer perceptron's step; the smallest
// must take no longer with two threads (LIMBECK_THREADS) than with one.
#include <limbeck/kernels/matmul.h>

#include <limbeck/core/error.h>
#include <limbeck/tools/bench/bench.h>

namespace limbeck {

namespace {

struct Case {
  std::int64_t M, N, K;
  Trans trans_a, trans_b;
};

void bench_product(Bench& bench, const Case& c, DType dtype) {
  struct Slot {
    Tensor c, a, b;
  };
  const Shape a = c.trans_a == Trans::yes ? Shape{c.K, c.M} : Shape{c.M, c.K};
  const Shape b = c.trans_b == Trans::yes ? Shape{c.N, c.K} : Shape{c.K, c.N};
  const auto make = [&] {
    return Slot{bench.zeros({c.M, c.N}, dtype), bench.random(a, 1, dtype),
                bench.random(b, 1, dtype)};
  };
  const double elements = static_cast<double>(a.numel() + b.numel() + c.M * c.N);
  const Work work{.bytes = static_cast<double>(dtype_size(dtype)) * elements,
                  .flops = 2 * static_cast<double>(c.M * c.N * c.K),
                  .product = dtype};
  const std::string kind = detail::concat("matmul/", c.trans_a == Trans::yes ? 't' : 'n',
                                          c.trans_b == Trans::yes ? 't' : 'n');
  bench.time(kind, detail::concat("M=", c.M, " N=", c.N, " K=", c.K, " ", dtype), work, make,
             [&](Slot& s) { matmul(s.c, s.a, c.trans_a, s.b, c.trans_b); });
}

}  // namespace

void bench_matmul(Bench& bench) {
  const Trans n = Trans::no, t = Trans::yes;
  for (const Case& c :
       {Case{32, 10, 100, n, t}, Case{100, 100, 32, t, n}, Case{128, 800, 784, n, t},
        Case{128, 1200, 1200, n, t}, Case{128, 10, 800, n, t}, Case{800, 784, 128, t, n},
        Case{128, 800, 800, n, n}, Case{512, 1200, 1200, n, t}, Case{1024, 1024, 1024, n, n}})
    bench_product(bench, c, DType::f32);
  bench_product(bench, {512, 1200, 1200, n, t}, DType::bf16);
}

}  // namespace limbeck
