// SPDX-License-Identifier: Apache-2.0
// The README's third example as a program of its own: teacher and student as one step, in a loop of
// one's own, on batches of one's own.
#include <iostream>

#include <limbeck/distill/distill_step.h>
#include <limbeck/nn/init.h>
#include <limbeck/nn/model.h>

using namespace limbeck;

std::unique_ptr<ModelGraph> mlp(std::int64_t width, std::uint64_t seed) {
  return build_model({{64},
                      {{.type = "linear", .name = "fc1", .out = width},
                       {.type = "relu", .name = "relu1"},
                       {.type = "linear", .name = "fc2", .out = 10}}},
                     seed);
}

/// Random here; 32 samples and their labels.
Batch my_batch(std::uint32_t t) {
  Tensor x = Tensor::empty({32, 64}), labels = Tensor::zeros({32}, DType::i32);
  fill_uniform(x, 1, {.seed = 1, .step = t});
  return batch_of(x, labels);
}

int main() {
  const auto student = mlp(16, 1), teacher = mlp(128, 2);
  const std::int64_t steps = 200;
  DistillStep step({{.name = "student",
                     .model = student.get(),
                     .recipe = {.optimizer = AdamwConfig{}, .schedule = {.lr = 0.003}}},
                    {.name = "teacher", .model = teacher.get(), .state = ModelState::frozen_eval}},
                   {{.receiver = 0,
                     .sources = {1},
                     .logits = KdLossOptions{.tau = 4, .kd_weight = 1, .ce_weight = 0}}},
                   steps);
  double first = 0, last = 0;
  for (std::int64_t t = 0; t < steps; ++t) {
    const Tensor loss = step(my_batch(static_cast<std::uint32_t>(t)), t);
    (t == 0 ? first : last) = loss.item();
  }
  std::cout << "loss " << first << " -> " << last << '\n';
  return last < first ? 0 : 1;
}
