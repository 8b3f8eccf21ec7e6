// SPDX-License-Identifier: Apache-2.0
// Time of one whole distillation step; tools/peers/kd_step.py is the same step in PyTorch.
#include <limbeck/core/math_mode.h>
#include <limbeck/distill/kd_loss.h>
#include <limbeck/nn/model.h>
#include <limbeck/nn/optimizer.h>
#include <limbeck/tools/bench/bench.h>

namespace limbeck {
namespace {

/// A multilayer perceptron of the given widths, relu between its layers.
std::unique_ptr<ModelGraph> make_mlp(const std::vector<std::int64_t>& widths, DType dtype,
                                     Device device) {
  ModelSpec spec{.input = {widths.front()}, .layers = {}};
  for (std::size_t i = 1; i < widths.size(); ++i) {
    if (i > 1) spec.layers.push_back({.type = "relu", .name = ""});
    spec.layers.push_back({.type = "linear", .name = "", .out = widths[i]});
  }
  return build_model(spec, 1, dtype, device);
}

/// Multiply-adds of one sample's forward pass, times two.
double forward_flops(const std::vector<std::int64_t>& widths) {
  double flops = 0;
  for (std::size_t i = 1; i < widths.size(); ++i)
    flops += 2 * static_cast<double>(widths[i - 1] * widths[i]);
  return flops;
}

struct Batch {
  Tensor x, labels;
};

/// Student, live teacher, and what trains the student.
class KdStep {
 public:
  KdStep(const std::vector<std::int64_t>& student, const std::vector<std::int64_t>& teacher,
         DType teacher_dtype, Device device)
      : student_(make_mlp(student, DType::f32, device)),
        teacher_(make_mlp(teacher, teacher_dtype, device)),
        teacher_dtype_(teacher_dtype),
        optimizer_(student_->parameters(), {.momentum = 0.9}) {}

  void operator()(const Batch& batch) {
    optimizer_.zero_grad();
    Context context{.training = true};
    const Variable logits = student_->forward(Variable(batch.x), context);
    kd_loss(logits, soft_targets(batch.x), batch.labels,
            {.tau = 4, .kd_weight = 0.7, .ce_weight = 0.3})
        .backward();
    optimizer_.step(0.01);
  }

 private:
  Tensor soft_targets(const Tensor& x) {
    const NoGrad no_grad;
    Context context;
    return teacher_->forward(Variable(x.to(teacher_dtype_)), context).value().to(DType::f32);
  }

  std::unique_ptr<ModelGraph> student_, teacher_;
  DType teacher_dtype_;
  Sgd optimizer_;
};

void bench_step(Bench& bench, const std::string& name, DType teacher_dtype, std::int64_t B) {
  const std::vector<std::int64_t> student = {784, 800, 800, 10}, teacher = {784, 1200, 1200, 10};
  KdStep step(student, teacher, teacher_dtype, bench.device());
  // Forward, and backward to the weights and to every layer's input but the first's.
  const double flops = 3 * forward_flops(student) - 2.0 * 784 * 800 + forward_flops(teacher);
  const double rows = static_cast<double>(B);
  bench.time(
      name, detail::concat("batch=", B, " teacher=", teacher_dtype), {.flops = rows * flops},
      [&] {
        return Batch{bench.random({B, 784}), bench.random_index({B}, 10)};
      },
      step);
}

}  // namespace

void bench_kd_step(Bench& bench) {
  for (const std::int64_t B : {128, 512}) {
    bench_step(bench, "kd_step", DType::f32, B);
    if (math_mode() == MathMode::fast) bench_step(bench, "kd_step", DType::bf16, B);
  }
}

}  // namespace limbeck
