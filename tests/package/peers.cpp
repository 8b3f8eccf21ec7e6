// SPDX-License-Identifier: Apache-2.0
// The README's second example as a program of its own: two models that teach each other, logits
// and one layer, on data of one's own.
#include <iostream>
#include <vector>

#include <limbeck/distill/gaussian_laplace.h>
#include <limbeck/distill/trainer.h>
#include <limbeck/nn/init.h>
#include <limbeck/nn/model.h>

using namespace limbeck;

std::unique_ptr<ModelGraph> mlp(std::int64_t width, std::uint64_t seed) {
  return build_model({{8, 8, 1},
                      {{.type = "linear", .name = "fc1", .out = width},
                       {.type = "relu", .name = "relu1"},
                       {.type = "linear", .name = "fc2", .out = 10}}},
                     seed);
}

int main() {
  Tensor images = Tensor::empty({60, 8, 8, 1}, DType::f32);
  fill_uniform(images, 1, {.seed = 1});
  std::vector<std::int32_t> labels(60);
  for (std::int32_t n = 0; n < 60; ++n) labels[static_cast<std::size_t>(n)] = n % 10;
  TensorSource data(images, Tensor::from(labels, {60}), /*classes=*/10, {.scale = 1});

  const auto small = mlp(16, 1), big = mlp(64, 2);
  const Recipe recipe = {
      .epochs = 30, .batch = 20, .optimizer = AdamwConfig{}, .schedule = {.lr = 0.01}};
  const KdLossOptions loss = {.tau = 4, .kd_weight = 0.5, .ce_weight = 1};
  const auto likelihood = std::make_shared<GaussianLaplace>(Shape{16}, Shape{64});
  Trainer trainer({{.name = "small", .model = small.get(), .recipe = recipe},
                   {.name = "big", .model = big.get(), .recipe = recipe}},
                  {{.receiver = 0,
                    .sources = {1},
                    .logits = loss,
                    .features = {{"relu1", "relu1", 0.1, likelihood}}},
                   {.receiver = 1, .sources = {0}, .logits = loss}},
                  data, {.seed = 1, .report_every = 10});
  std::vector<double> losses;
  trainer.run([&](const Progress& p) { losses.push_back(p.loss); });
  std::cout << "loss " << losses.front() << " -> " << losses.back() << '\n';
  return losses.back() < losses.front() ? 0 : 1;
}
