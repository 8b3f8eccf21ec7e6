// SPDX-License-Identifier: Apache-2.0
// The README's example as a program of its own, outside limbeck's tree: a few distillation steps
// from random logits, after which the loss must have fallen.
#include <iostream>

#include <limbeck/distill/kd_loss.h>
#include <limbeck/nn/init.h>
#include <limbeck/nn/model.h>
#include <limbeck/nn/optimizer.h>

using namespace limbeck;

int main() {
  const auto student = build_model(
      {{784}, {{.type = "linear", .out = 64}, {.type = "relu"}, {.type = "linear", .out = 10}}},
      /*seed=*/1);
  Sgd optimizer(student->parameters(), {.momentum = 0.9});

  Tensor x = Tensor::empty({32, 784}), teacher_logits = Tensor::empty({32, 10});
  fill_uniform(x, 1, {.seed = 1});
  fill_uniform(teacher_logits, 5, {.seed = 2});
  const Tensor labels = Tensor::zeros({32}, DType::i32);
  const auto step = [&] {
    Context context{.training = true};
    optimizer.zero_grad();
    const Variable loss = kd_loss(student->forward(Variable(x), context), teacher_logits, labels,
                                  {.tau = 4, .kd_weight = 0.9, .ce_weight = 0.1});
    loss.backward();
    optimizer.step(/*lr=*/0.05);
    return loss.value().to_vector<float>().front();
  };
  const float first = step();
  float last = first;
  for (int i = 0; i < 20; ++i) last = step();
  std::cout << "loss " << first << " -> " << last << '\n';
  return last < first ? 0 : 1;
}
