// SPDX-License-Identifier: Apache-2.0
// Compressed-sensing distillation: its formulas, what its loss estimates, who is trained by it.
#include <limbeck/distill/compressed_sensing.h>

#include <limbeck/autograd/arithmetic.h>
#include <limbeck/autograd/grad_check.h>
#include <limbeck/autograd/linear.h>
#include <limbeck/kernels/elementwise.h>
#include <limbeck/tests/device_test.h>
#include <limbeck/tests/same_bits.h>

namespace limbeck::testing {
namespace {

using Kind = MeasurementKind;
constexpr Kind kKinds[] = {Kind::rademacher, Kind::gaussian, Kind::achlioptas, Kind::count_sketch,
                           Kind::srht};

class CompressedSensingTest : public DeviceTest {};
INSTANTIATE_TEST_SUITE_P(Devices, CompressedSensingTest,
                         ::testing::ValuesIn(full_precision_devices()),
                         [](const auto& test) { return test.param.name(); });

Tensor taps(const Shape& shape, std::uint64_t seed, DType dtype = DType::f64,
            Device device = Device::cpu()) {
  return Tensor::from(random_values(shape.numel(), 1, seed), shape).to(dtype).to(device);
}

/// The parameter's values times v (I): one row of a matrix product in plain loops.
std::vector<double> times(const std::vector<double>& matrix, const double* v, std::size_t O,
                          std::size_t I) {
  std::vector<double> y(O, 0);
  for (std::size_t o = 0; o < O; ++o)
    for (std::size_t i = 0; i < I; ++i) y[o] += matrix[o * I + i] * v[i];
  return y;
}

// Receiver (5) of two samples, source (8), K 3: everything by the formulas of the header.
TEST_P(CompressedSensingTest, IsItsFormulas) {
  const std::size_t N = 2, S = 5, T = 8, K = 3;
  const std::vector<double> mean = random_values(T, 1, 8), variance(T, 0.25);
  CompressedSensing cs(
      {S}, {T}, {.K = K, .seed = 3, .mean = make(mean, {T}), .variance = make(variance, {T})},
      dtype(), device());
  const std::vector<double> t = random_values(N * T, 1, 1), s = random_values(N * S, 1, 2);
  const std::vector<double> phi = to_doubles(cs.matrix().dense());
  const std::vector<double> a = to_doubles(cs.parameters()[0].value.value());
  const std::vector<double> bias = to_doubles(cs.parameters()[1].value.value());
  std::vector<double> codes, ds(N * S, 0), da(K * S, 0);
  double loss = 0;
  for (std::size_t n = 0; n < N; ++n) {
    std::vector<double> z(T);
    for (std::size_t c = 0; c < T; ++c)
      z[c] = (t[n * T + c] - mean[c]) / std::sqrt(variance[c] + 1e-5);
    const std::vector<double> y = times(phi, z.data(), K, T);
    std::vector<double> gap = times(a, &s[n * S], K, S);
    for (std::size_t k = 0; k < K; ++k) {
      gap[k] += bias[k] - y[k];
      loss += gap[k] * gap[k] / (N * K);
      for (std::size_t i = 0; i < S; ++i) {
        ds[n * S + i] += 2.0 / (N * K) * a[k * S + i] * gap[k];
        da[k * S + i] += 2.0 / (N * K) * gap[k] * s[n * S + i];
      }
    }
    codes.insert(codes.end(), y.begin(), y.end());
  }
  const Tensor code = cs.encode(make(t, {N, T}));
  EXPECT_EQ(code.shape(), (Shape{N, 1, K}));
  EXPECT_EQ(cs.code_shape(), (Shape{1, K}));
  const Variable receiver(make(s, {N, S}), true);
  const Variable value = cs.loss(receiver, code, N);
  value.backward();
  // Some eight roundings each, of numbers ten times what is left.
  expect_close(code, codes, 8 * tolerance());
  expect_close(value.value(), {loss}, 8 * tolerance());
  expect_close(receiver.grad(), ds, 8 * tolerance());
  expect_close(cs.parameters()[0].value.grad(), da, 8 * tolerance());
}

TEST_P(CompressedSensingTest, ImagesAreComparedCellByCell) {
  CompressedSensing cs({4, 4, 3}, {2, 6, 10}, {.K = 4}, dtype(), device());
  EXPECT_EQ(cs.code_shape(), (Shape{8, 4}));
  const Tensor source = taps({2, 2, 6, 10}, 1, dtype(), device());
  const Tensor code = cs.encode(source);
  EXPECT_TRUE(same_bytes(code.reshape({16, 4}), cs.matrix().apply(tap_rows(source, {2, 4}))));
  const Variable receiver(taps({2, 4, 4, 3}, 2, dtype(), device()), true);
  const Variable loss = cs.loss(receiver, code, 2);
  // By ordinary ops: the mean over samples, positions and coordinates.
  const std::vector<NamedParameter> adapter = cs.parameters();
  const Variable predicted =
      linear(tap_rows(Variable(receiver.value()), {2, 4}), adapter[0].value, adapter[1].value);
  const Variable gap = sub(predicted, Variable(code.reshape({16, 4})));
  expect_close(loss.value(), to_doubles(mean(mul(gap, gap)).value()), 4 * tolerance());
  loss.backward();
  EXPECT_EQ(receiver.grad().shape(), receiver.shape());
}

// What a trainer with micro-batches does.
TEST_P(CompressedSensingTest, PartsOfABatchAddUp) {
  const Tensor s = taps({6, 5, 4}, 1, dtype(), device()), t = taps({6, 5, 9}, 2, dtype(), device());
  CompressedSensing whole({5, 4}, {5, 9}, {}, dtype(), device());
  CompressedSensing parts({5, 4}, {5, 9}, {}, dtype(), device());
  EXPECT_TRUE(whole.per_sample());
  const Variable all(s, true), first(s.rows(0, 2), true), second(s.rows(2, 6), true);
  whole.loss(all, whole.encode(t), 6).backward();
  parts.loss(first, parts.encode(t.rows(0, 2)), 6).backward();
  parts.loss(second, parts.encode(t.rows(2, 6)), 6).backward();
  EXPECT_TRUE(same_bytes(first.grad(), all.grad().rows(0, 2)));
  EXPECT_TRUE(same_bytes(second.grad(), all.grad().rows(2, 6)));
  for (std::size_t i = 0; i < 2; ++i)
    expect_close(parts.parameters()[i].value.grad(), to_doubles(whole.parameters()[i].value.grad()),
                 4 * tolerance());
}

TEST(CompressedSensing, CodeWidth) {
  const auto K = [](std::int64_t receiver, std::int64_t source) {
    return CompressedSensing({receiver}, {source}).code_shape()[1];
  };
  EXPECT_EQ(K(300, 1200), 256);  // multiples of 64
  EXPECT_EQ(K(300, 256), 128);   // half the source's
  EXPECT_EQ(K(64, 256), 64);
  EXPECT_EQ(K(40, 256), 40);  // as it is below 64
  EXPECT_EQ(K(40, 1), 1);
  EXPECT_EQ(K(4000, 4000), kMaxCode);
  EXPECT_EQ(CompressedSensing({10}, {20}, {.K = 15}).code_shape()[1], 15);
}

TEST(CompressedSensing, Describes) {
  EXPECT_EQ(CompressedSensing({800}, {1200}, {.K = 64}).describe(),
            "compressed_sensing(rademacher 1200 -> 64)");
  EXPECT_EQ(CompressedSensing({8}, {5000}, {}).describe(), "compressed_sensing(srht 5000 -> 8)");
}

TEST(CompressedSensing, GradientOfReceiverAndAdapter) {  // quadratic: only rounding, 1e-12 / h
  for (const Kind kind : kKinds)
    for (const AdapterKind adapter : {AdapterKind::linear, AdapterKind::vid}) {
      CompressedSensing cs({3, 2, 4}, {2, 3, 6}, {.matrix = kind, .K = 5, .adapter = adapter},
                           DType::f64);
      const Tensor code = cs.encode(taps({2, 2, 3, 6}, 1));
      std::vector<Tensor> inputs = {taps({2, 3, 2, 4}, 2)};
      for (const NamedParameter& p : cs.parameters()) inputs.push_back(p.value.value().clone());
      // Parameters are set to the values given, and their gradients moved to the inputs'.
      const auto loss = [&](std::span<const Variable> v) {
        const std::vector<NamedParameter> own = cs.parameters();
        for (std::size_t i = 0; i < own.size(); ++i) {
          Variable parameter = own[i].value;
          parameter.value().copy_from(v[i + 1].value());
          parameter.zero_grad();
        }
        const Variable receiver(v[0].value(), true);
        const Variable value = cs.loss(receiver, code, 2);
        if (!grad_enabled()) return value;
        value.backward();
        std::vector<Tensor> gradients = {receiver.grad().clone()};
        for (const NamedParameter& p : own) gradients.push_back(p.value.grad().clone());
        return record("loss", value.value(), {v.begin(), v.end()},
                      [gradients](const Tensor& dout, std::span<InputGrad> to) {
                        for (std::size_t i = 0; i < to.size(); ++i) {
                          Tensor g = gradients[i].clone();
                          scale_by(g, g, dout);
                          to[i].give(g);
                        }
                      });
      };
      const GradCheckResult result = grad_check(loss, inputs);
      // vid's ReLU is linear around almost every point: h = 1e-4 does not cross its kink here.
      EXPECT_LT(result.error, 1e-7) << measurement_name(kind) << " " << result.where;
    }
}

// The source is measured outside the tape: nothing behind its tap is moved by the loss.
TEST(CompressedSensing, TheSourceGetsNoGradient) {
  CompressedSensing cs({4}, {6}, {}, DType::f64);
  const Variable weight(taps({6, 3}, 1), true);
  const Variable source = linear(Variable(taps({5, 3}, 2)), weight, {});
  const Tensor before = source.value().clone();
  const Variable receiver(taps({5, 4}, 3), true);
  cs.loss(receiver, cs.encode(source.value()), 5).backward();
  EXPECT_TRUE(receiver.grad().defined());
  EXPECT_FALSE(weight.grad().defined());
  EXPECT_TRUE(same_bytes(source.value(), before));
}

// Nothing to train makes the target: descent on the loss moves the adapter, never the code, so
// there is no collapse to a constant.
TEST(CompressedSensing, TrainingMovesNoCode) {
  CompressedSensing cs({4}, {6}, {.K = 3}, DType::f64);
  const Tensor source = taps({20, 6}, 1);
  const Variable receiver(taps({20, 4}, 2));
  const Tensor code = cs.encode(source);
  double first = 0, last = 0;
  for (int step = 0; step < 50; ++step) {
    const Variable loss = cs.loss(receiver, cs.encode(source), 20);
    last = loss.value().item();
    if (step == 0) first = last;
    loss.backward();
    for (const NamedParameter& p : cs.parameters()) {
      Variable parameter = p.value;
      axpy(parameter.value(), -0.3, parameter.grad());
      parameter.zero_grad();
    }
  }
  EXPECT_LT(last, 0.9 * first);
  EXPECT_TRUE(same_bytes(cs.encode(source), code));
}

/// A batch of receiver's and source's taps and an object between them.
struct Direction {
  Tensor receiver, source;
  std::vector<Tensor> outcome() const {
    const auto shape = [](const Tensor& t) { return Shape{t.dim(1)}; };
    CompressedSensing cs(shape(receiver), shape(source), {.seed = 5}, DType::f32);
    const Variable r(receiver, true);
    const Variable loss = cs.loss(r, cs.encode(source), static_cast<double>(receiver.dim(0)));
    loss.backward();
    return {loss.value(), r.grad(), cs.parameters()[0].value.grad()};
  }
};

// big -> small with the models' names exchanged is small -> big: roles, not names, decide.
TEST(CompressedSensing, SwappedModelsGiveTheSameBits) {
  const Tensor big = taps({7, 40}, 1, DType::f32), small = taps({7, 12}, 2, DType::f32);
  for (const bool reverse : {false, true}) {
    const Direction one = reverse ? Direction{big, small} : Direction{small, big};
    const Direction other =
        reverse ? Direction{big.clone(), small.clone()} : Direction{small.clone(), big.clone()};
    const std::vector<Tensor> a = one.outcome(), b = other.outcome();
    for (std::size_t i = 0; i < a.size(); ++i) EXPECT_TRUE(same_bytes(a[i], b[i])) << i;
  }
}

// With A = Phi and no bias the loss measures the residual R of two taps of one width: K loss = mean
// over samples of |Phi r|^2, whose mean and variance over matrices are known.
TEST(CompressedSensing, LossEstimatesTheDistanceWithTheKnownError) {
  const std::int64_t N = 6, D = 20, K = 8, seeds = 3000;
  const Tensor s = taps({N, D}, 1), t = taps({N, D}, 2);
  std::vector<double> r = to_doubles(s);
  for (std::size_t i = 0; i < r.size(); ++i) r[i] -= to_doubles(t)[i];
  double length = 0, gram = 0, diagonal = 0;  // |R|^2, |R R^T|^2, sum of squares of its diagonal
  for (std::size_t i = 0; i < static_cast<std::size_t>(D); ++i)
    for (std::size_t j = 0; j < static_cast<std::size_t>(D); ++j) {
      double g = 0;
      for (std::size_t n = 0; n < static_cast<std::size_t>(N); ++n)
        g += r[n * static_cast<std::size_t>(D) + i] * r[n * static_cast<std::size_t>(D) + j];
      gram += g * g;
      if (i == j) length += g, diagonal += g * g;
    }
  for (const Kind kind : {Kind::gaussian, Kind::rademacher}) {
    double sum = 0, squares = 0, fourths = 0;
    const double expected =
        2.0 / static_cast<double>(K) * (gram - (kind == Kind::rademacher ? diagonal : 0));
    for (std::int64_t seed = 0; seed < seeds; ++seed) {
      CompressedSensing cs(
          {D}, {D}, {.matrix = kind, .K = K, .seed = static_cast<std::uint64_t>(seed)}, DType::f64);
      const std::vector<NamedParameter> adapter = cs.parameters();
      Variable weight = adapter[0].value, bias = adapter[1].value;
      weight.value().copy_from(cs.matrix().dense());
      bias.value().fill(0);
      const double value =
          cs.loss(Variable(s), cs.encode(t), N).value().item() * static_cast<double>(K * N);
      sum += value - length;
      squares += std::pow(value - length, 2);
      fourths += std::pow(value - length, 4);
    }
    const double n = static_cast<double>(seeds), variance = squares / n;
    EXPECT_NEAR(sum / n, 0, 4 * std::sqrt(variance / n)) << measurement_name(kind);
    const double error = std::sqrt((fourths / n - variance * variance) / n);
    EXPECT_NEAR(variance, expected, 4 * error) << measurement_name(kind);
    EXPECT_LT(4 * error, 0.2 * expected);  // the two formulas are further apart
  }
  EXPECT_GT(diagonal, 0.2 * gram);
}

// The codes of raw features by a matrix of raw features, which recovery needs.
TEST(CompressedSensing, MeasurementUndoesTheStandardisation) {
  CompressedSensing cs({3}, {2, 2, 7},
                       {.K = 4, .mean = taps({7}, 5), .variance = Tensor::full({7}, 0.09)},
                       DType::f64);
  const Tensor source = taps({5, 2, 2, 7}, 1);
  const Tensor rows = cs.rows(cs.encode(source));
  EXPECT_EQ(rows.shape(), (Shape{5, 4}));
  const std::vector<double> phi = to_doubles(cs.measurement());
  const std::vector<double> t = to_doubles(tap_rows(source, {1, 1}));
  std::vector<double> expected;
  for (std::size_t n = 0; n < 5; ++n) {
    const std::vector<double> y = times(phi, &t[n * 7], 4, 7);
    expected.insert(expected.end(), y.begin(), y.end());
  }
  expect_close(rows, expected, 1e-12);
}

TEST(CompressedSensing, SameBitsForThreadsAndInstructionSets) {
  const Tensor t = taps({9, 3, 3, 130}, 1, DType::f32), s = taps({9, 3, 3, 40}, 2, DType::f32);
  expect_same_bits([&] {
    std::vector<Tensor> results;
    for (const Kind kind : kKinds) {
      CompressedSensing cs({3, 3, 40}, {3, 3, 130},
                           {.matrix = kind,
                            .mean = Tensor::full({130}, 0.1),
                            .variance = Tensor::full({130}, 0.36)});
      const Variable receiver(s, true);
      const Tensor code = cs.encode(t);
      const Variable loss = cs.loss(receiver, code, 9);
      loss.backward();
      results.insert(results.end(),
                     {code, loss.value(), receiver.grad(), cs.parameters()[0].value.grad()});
    }
    return results;
  });
}

TEST(CompressedSensing, CodesHaveTheSameBitsOnAGpu) {
#if LIMBECK_HAS_GPU
  if (cuda_device_count() == 0) GTEST_SKIP() << "no GPU";
  const Tensor t = taps({3, 4, 70}, 1, DType::f32);
  for (const Kind kind : {Kind::rademacher, Kind::count_sketch, Kind::srht}) {
    const CompressedSensing here({4, 50}, {4, 70}, {.matrix = kind});
    const CompressedSensing there({4, 50}, {4, 70}, {.matrix = kind}, DType::f32, Device::cuda());
    EXPECT_TRUE(same_bytes(here.encode(t), there.encode(t.to(Device::cuda()))))
        << measurement_name(kind);
  }
#endif
}

TEST(CompressedSensing, Rejections) {
  CompressedSensing cs({3}, {6}, {.K = 2});
  const Tensor code = Tensor::zeros({4, 1, 2});
  expect_error(
      [&] {
        cs.encode(Tensor::zeros({4, 5}));
      },
      "compressed_sensing: source is f32(4,5); expected f32, any number of (6)");
  expect_error(
      [&] {
        cs.loss(Variable(Tensor::zeros({4, 2})), code, 4);
      },
      "compressed_sensing: receiver is f32(4,2)");
  expect_error(
      [&] {
        cs.loss(Variable(Tensor::zeros({5, 3})), code, 5);
      },
      "compressed_sensing: code has shape (4,1,2), receiver (5,3)");
  expect_error(
      [&] {
        cs.loss(Variable(Tensor::zeros({4, 3})), Tensor::zeros({4, 2}), 4);
      },
      "compressed_sensing: code is f32(4,2); expected f32, any number of (1,2)");
  expect_error(
      [&] {
        cs.loss(Variable(Tensor::zeros({4, 3})), code, 0);
      },
      "compressed_sensing: mean_over is 0; expected > 0");
  expect_error([] { CompressedSensing({3}, {6}, {.K = 2000}); },
               "compressed_sensing: K is 2000; expected 1 to 1024");
  expect_error([] { CompressedSensing({3}, {6}, {.mean = Tensor::zeros({6})}); },
               "compressed_sensing: variance has shape ()");
}

}  // namespace
}  // namespace limbeck::testing
