// SPDX-License-Identifier: Apache-2.0
// Times of convolutions that read the same images, apart and joined.
#include <limbeck/kernels/joined_conv2d.h>

#include <limbeck/core/error.h>
#include <limbeck/tools/bench/bench.h>

namespace limbeck {

void bench_joined_conv2d(Bench& bench) {
  struct Slot {
    Tensor x;
    std::vector<Conv2dPart> parts;
    WeightStack stack;
  };
  const Conv2dOptions options{.padding = 1};
  for (const Shape& x : {Shape{128, 28, 28, 1}, Shape{128, 32, 32, 3}}) {
    const std::int64_t C = x[3];
    const auto make = [&] {
      Slot slot{bench.random(x), {}, {bench.random({48, 3, 3, C}), bench.random({48})}};
      for (const auto& [first, end] : {std::pair{0, 16}, std::pair{16, 48}}) {
        const Tensor w = slot.stack.w.rows(first, end);
        slot.parts.push_back({bench.zeros(conv2d_output_shape(x, w.shape(), options)), w,
                              slot.stack.bias.rows(first, end), true});
      }
      return slot;
    };
    const double pixels = static_cast<double>(x[0] * x[1] * x[2]);
    const Work work{.bytes = 4 * pixels * static_cast<double>(C + 48),
                    .flops = 2 * pixels * static_cast<double>(48 * 9 * C)};
    const std::string shape = detail::concat("x", x, " O=16,32");
    bench.time("joined_conv2d/apart", shape, work, make,
               [&](Slot& s) { joined_conv2d_forward(s.parts, s.x, options); });
    bench.time("joined_conv2d/joined", shape, work, make,
               [&](Slot& s) { joined_conv2d_forward(s.parts, s.x, options, s.stack); });
  }
}

}  // namespace limbeck
