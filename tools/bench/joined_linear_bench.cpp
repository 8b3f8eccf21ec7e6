// SPDX-License-Identifier: Apache-2.0
// Times of linear layers that read one input, apart and joined, and of a packed weight.
#include <limbeck/kernels/joined_linear.h>

#include <limbeck/core/error.h>
#include <limbeck/kernels/matmul.h>
#include <limbeck/tools/bench/bench.h>

namespace limbeck {
namespace {

struct Slot {
  Tensor x;
  std::vector<LinearPart> parts;
  WeightStack stack;
};

Slot make_slot(Bench& bench, std::int64_t N, std::int64_t I, const std::vector<std::int64_t>& outs,
               bool pack) {
  std::int64_t all = 0;
  for (const std::int64_t O : outs) all += O;
  Slot slot{bench.random({N, I}), {}, {bench.random({all, I}), bench.random({all})}};
  std::int64_t first = 0;
  for (const std::int64_t O : outs) {
    const Tensor w = slot.stack.w.rows(first, first + O);
    slot.parts.push_back({.y = bench.zeros({N, O}),
                          .w = w,
                          .bias = slot.stack.bias.rows(first, first + O),
                          .act = Activation::relu,
                          .packed = pack ? PackedWeight(w) : PackedWeight()});
    first += O;
  }
  return slot;
}

void run_apart(Slot& slot) {
  for (LinearPart& p : slot.parts) linear_forward(p.y, nullptr, slot.x, p.w, p.bias, p.act);
}
void run_joined(Slot& slot) { joined_linear_forward(slot.parts, slot.x, slot.stack); }

void bench_layers(Bench& bench, std::int64_t N, std::int64_t I,
                  const std::vector<std::int64_t>& outs) {
  std::int64_t all = 0;
  for (const std::int64_t O : outs) all += O;
  const Work work{.bytes = 4.0 * static_cast<double>(N * I + all * (I + 1) + N * all),
                  .flops = 2.0 * static_cast<double>(N * I * all),
                  .product = DType::f32};
  const std::string shape = detail::concat("N=", N, " I=", I, " O=", all, " in ", outs.size());
  const auto make = [&](bool pack) {
    return [&, pack] { return make_slot(bench, N, I, outs, pack); };
  };
  bench.time("joined_linear/apart", shape, work, make(false), run_apart);
  bench.time("joined_linear/joined", shape, work, make(false), run_joined);
  bench.time("joined_linear/packed", shape, work, make(true), run_joined);
}

}  // namespace

void bench_joined_linear(Bench& bench) {
  for (const std::int64_t N : {32, 128}) {
    bench_layers(bench, N, 784, {800, 1200});
    bench_layers(bench, N, 784, {100, 400});
    bench_layers(bench, N, 1200, {1200});
  }
}

}  // namespace limbeck
