// SPDX-License-Identifier: Apache-2.0
// Times of the distillation loss against a sparse teacher, with its gradient.
#include <limbeck/kernels/kd_topk.h>

#include <limbeck/core/error.h>
#include <limbeck/kernels/topk.h>
#include <limbeck/tools/bench/bench.h>

namespace limbeck {

void bench_kd_topk(Bench& bench) {
  struct Slot {
    Tensor row_loss, dstudent, student, labels;
    SparseTeacher teacher;
  };
  struct Case {
    Shape shape;
    std::int64_t K;
  };
  const KdLossOptions options{.tau = 4, .kd_weight = 0.7, .ce_weight = 0.3};
  for (const DType dtype : {DType::f32, DType::bf16})
    for (const auto& [shape, K] : {Case{{8192, 10}, 3}, Case{{1024, 1000}, 16},
                                   Case{{256, 32000}, 64}, Case{{64, 128000}, 64}}) {
      const std::int64_t N = shape[0];
      const auto make = [&] {
        SparseTeacher teacher{bench.zeros({N, K}, DType::i32), bench.zeros({N, K}),
                              bench.zeros({N})};
        topk(teacher.logits, teacher.indices, teacher.rest_lse, bench.random(shape, 4, dtype),
             options.tau);
        return Slot{bench.zeros({N}), bench.zeros(shape, dtype), bench.random(shape, 4, dtype),
                    bench.random_index({N}, shape[1]), teacher};
      };
      // Reads the student and writes the gradient once; indices and logits are few.
      const double bytes =
          2 * static_cast<double>(dtype_size(dtype)) * static_cast<double>(shape.numel()) +
          static_cast<double>(8 * N * K);
      bench.time("kd_topk/forward_with_grad",
                 detail::concat("N=", N, " V=", shape[1], " K=", K, " ", dtype), {.bytes = bytes},
                 make, [&](Slot& s) {
                   kd_topk_forward_with_grad(s.row_loss, s.dstudent, s.student, s.teacher, s.labels,
                                             options);
                 });
    }
}

}  // namespace limbeck
