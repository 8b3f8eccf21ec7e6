// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/recurrent.h>

#include <limbeck/tests/same_bits.h>

namespace limbeck::testing {
namespace {

constexpr RecurrentCell kCells[] = {RecurrentCell::tanh, RecurrentCell::relu, RecurrentCell::lstm,
                                    RecurrentCell::gru};

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

// PyTorch's equations for one unit, in doubles: the states after a step.
void reference_unit(RecurrentCell cell, const double* p, const double* u, double& h, double& c) {
  if (cell == RecurrentCell::tanh) {
    h = std::tanh(p[0] + u[0]);
  } else if (cell == RecurrentCell::relu) {
    h = std::max(0.0, p[0] + u[0]);
  } else if (cell == RecurrentCell::lstm) {
    c = sigmoid(p[1] + u[1]) * c + sigmoid(p[0] + u[0]) * std::tanh(p[2] + u[2]);
    h = sigmoid(p[3] + u[3]) * std::tanh(c);
  } else {
    const double r = sigmoid(p[0] + u[0]), z = sigmoid(p[1] + u[1]);
    h = (1 - z) * std::tanh(p[2] + r * u[2]) + z * h;
  }
}

struct Case {
  RecurrentCell cell;
  std::int64_t N, T, H;
  bool reverse = false, lengths = false, initial = false, bias = true;
};

// Below, at and above the tiles of rows (4, 8) and of columns (8 to 32); a single step.
std::vector<Case> cases() {
  std::vector<Case> all;
  for (RecurrentCell cell : kCells) {
    all.push_back({cell, 1, 1, 1, false, false, false, false});
    all.push_back({cell, 5, 4, 3, true, true, true});
    all.push_back({cell, 9, 3, 11, false, true, true});
    all.push_back({cell, 3, 2, 33, true, false, false});
  }
  return all;
}

class RecurrentTest : public DeviceTest {
 protected:
  struct Run {
    RecurrentInputs in;
    RecurrentOptions options;
    Tensor y, h_n, c_n;
    RecurrentSaved saved;
  };

  // Inputs rounded to the dtype; two columns of y are another direction's.
  Run make_run(const Case& c, DType type, Device where) const {
    const std::int64_t G = recurrent_gates(c.cell);
    const auto random = [&](const Shape& shape, double scale, std::uint64_t seed) {
      return Tensor::from(random_values(shape.numel(), scale, seed), shape)
          .to(dtype())
          .to(type)
          .to(where);
    };
    Run run;
    run.options = {.cell = c.cell, .reverse = c.reverse, .first_column = 2};
    run.in.p = random({c.N, c.T, G * c.H}, 2, 1);
    run.in.w_hh = random({G * c.H, c.H}, 1 / std::sqrt(static_cast<double>(c.H)), 2);
    if (c.bias) run.in.b_hh = random({G * c.H}, 1, 3);
    if (c.initial) run.in.h0 = random({c.N, c.H}, 1, 4);
    const bool lstm = c.cell == RecurrentCell::lstm;
    if (c.initial && lstm) run.in.c0 = random({c.N, c.H}, 1, 5);
    if (c.lengths) {  // 0, all and more than all among them
      std::vector<std::int32_t> lengths;
      for (std::int64_t n = 0; n < c.N; ++n)
        lengths.push_back(static_cast<std::int32_t>(n % (c.T + 2)));
      run.in.lengths = Tensor::from(lengths, {c.N}).to(where);
    }
    run.y = Tensor::full({c.N, c.T, c.H + 3}, 777, type, where);
    run.h_n = Tensor::full({c.N, c.H}, 777, type, where);
    if (lstm) run.c_n = Tensor::full({c.N, c.H}, 777, type, where);
    run.saved = empty_recurrent_saved(run.in.p, c.cell);
    return run;
  }
  Run make_run(const Case& c) const { return make_run(c, dtype(), device()); }

  static void forward(Run& r, bool save = true) {
    recurrent_forward(r.y, r.h_n, r.c_n, save ? &r.saved : nullptr, r.in, r.options);
  }

  // A step rounds h once, and p + u and the cell's functions in f32; errors fade or are carried on
  // over at most four steps.
  double run_tolerance() const { return 8 * tolerance(); }
};
LIMBECK_INSTANTIATE_DEVICE_TEST(RecurrentTest);

// Weight 1, p = 1, 2: h = tanh(1) = 0.761594, then tanh(2.761594) = 0.992046.
TEST_P(RecurrentTest, HandNumbersOfAPlainCell) {
  Tensor y = make_like({1, 2, 1}), h_n = make_like({1, 1}), none;
  RecurrentInputs in;
  in.p = make({1, 2}, {1, 2, 1});
  in.w_hh = make({1}, {1, 1});
  recurrent_forward(y, h_n, none, nullptr, in, {});
  expect_close(y, {0.76159415595576, 0.99204557002929}, 4 * tolerance());
  expect_close(h_n, {0.99204557002929}, 4 * tolerance());
  // p = -1, 2 by relu: 0, 2. Backwards in time: 2, then max(0, -1 + 2) = 1.
  in.p = make({-1, 2}, {1, 2, 1});
  recurrent_forward(y, h_n, none, nullptr, in, {.cell = RecurrentCell::relu});
  expect_close(y, {0, 2}, 0);
  recurrent_forward(y, h_n, none, nullptr, in, {.cell = RecurrentCell::relu, .reverse = true});
  expect_close(y, {1, 2}, 0);
  expect_close(h_n, {1}, 0);
}

// All p and u 0: every sigmoid is 1/2 and tanh 0. lstm: c' = c/2 = 1, h' = tanh(1)/2 = 0.380797.
// gru: h' = h/2.
TEST_P(RecurrentTest, HandNumbersOfGates) {
  Tensor y = make_like({1, 1, 1}), h_n = make_like({1, 1}), c_n = make_like({1, 1}), none;
  RecurrentInputs in;
  in.p = make({0, 0, 0, 0}, {1, 1, 4});
  in.w_hh = make({0, 0, 0, 0}, {4, 1});
  in.h0 = make({3}, {1, 1});
  in.c0 = make({2}, {1, 1});
  recurrent_forward(y, h_n, c_n, nullptr, in, {.cell = RecurrentCell::lstm});
  expect_close(y, {0.38079707797788}, tolerance());
  expect_close(c_n, {1}, tolerance());
  in.c0 = Tensor();
  in.p = make({0, 0, 0}, {1, 1, 3});
  in.w_hh = make({0, 0, 0}, {3, 1});
  recurrent_forward(y, h_n, none, nullptr, in, {.cell = RecurrentCell::gru});
  expect_close(h_n, {1.5}, tolerance());
}

TEST_P(RecurrentTest, AgreesWithTheEquations) {
  for (const Case& c : cases()) {
    Run run = make_run(c);
    forward(run);
    const std::int64_t G = recurrent_gates(c.cell), H = c.H;
    const auto p = to_doubles(run.in.p), w = to_doubles(run.in.w_hh);
    const auto read = [](const Tensor& t, std::int64_t n) {
      return t.defined() ? to_doubles(t) : std::vector<double>(static_cast<std::size_t>(n), 0.0);
    };
    const auto b = read(run.in.b_hh, G * H);
    auto h = read(run.in.h0, c.N * H), cell = read(run.in.c0, c.N * H);
    std::vector<double> y(static_cast<std::size_t>(c.N * c.T * (H + 3)), 777.0);
    for (std::int64_t step = 0; step < c.T; ++step)
      for (std::int64_t n = 0; n < c.N; ++n) {
        const std::int64_t t = c.reverse ? c.T - 1 - step : step;
        const bool valid = !c.lengths || t < n % (c.T + 2);
        const std::vector<double> before(h.begin() + n * H, h.begin() + (n + 1) * H);
        for (std::int64_t j = 0; j < H; ++j) {
          double x[4] = {}, u[4] = {};
          for (std::int64_t g = 0; g < G; ++g) {
            x[g] = p[static_cast<std::size_t>(((n * c.T + t) * G + g) * H + j)];
            u[g] = b[static_cast<std::size_t>(g * H + j)];
            for (std::int64_t k = 0; k < H; ++k)
              u[g] += w[static_cast<std::size_t>((g * H + j) * H + k)] *
                      before[static_cast<std::size_t>(k)];
          }
          const auto at = static_cast<std::size_t>(n * H + j);
          if (valid) reference_unit(c.cell, x, u, h[at], cell[at]);
          y[static_cast<std::size_t>((n * c.T + t) * (H + 3) + 2 + j)] = valid ? h[at] : 0;
        }
      }
    // The untouched 777 must be exact; leave it out of the scale.
    auto actual = to_doubles(run.y);
    for (std::size_t i = 0; i < y.size(); ++i)
      if (y[i] == 777) {
        EXPECT_EQ(actual[i], to_doubles(make({777}, {1}))[0]);
        actual[i] = y[i] = 0;
      }
    expect_close(actual, y, run_tolerance(), "y");
    expect_close(run.h_n, h, run_tolerance(), "h_n");
    if (run.c_n.defined()) expect_close(run.c_n, cell, run_tolerance(), "c_n");
  }
}

TEST_P(RecurrentTest, SavingChangesNothing) {
  for (const Case& c : cases()) {
    Run with = make_run(c), without = make_run(c);
    forward(with, true);
    forward(without, false);
    EXPECT_TRUE(same_bytes(with.y, without.y) && same_bytes(with.h_n, without.h_n));
  }
}

// A sequence in two chunks, the second starting from the states of the first, is the sequence.
TEST_P(RecurrentTest, StatesCarryOn) {
  for (RecurrentCell cell : kCells) {
    Run whole = make_run({cell, 1, 6, 5}), first = make_run({cell, 1, 3, 5});
    Run second = make_run({cell, 1, 3, 5});
    const std::int64_t width = whole.in.p.dim(2);
    const Tensor steps = whole.in.p.reshape({6, width});
    first.in.p = steps.rows(0, 3).reshape({1, 3, width});
    second.in.p = steps.rows(3, 6).reshape({1, 3, width});
    forward(whole);
    forward(first);
    second.in.h0 = first.h_n;
    if (cell == RecurrentCell::lstm) second.in.c0 = first.c_n;
    forward(second);
    expect_close(second.h_n, to_doubles(whole.h_n), run_tolerance(), "h_n");
  }
}

// Each device's gradients against f64's; those are checked by differences in recurrent_grad_test.
TEST_P(RecurrentTest, BackwardAgreesWithDoubles) {
  for (const Case& c : cases()) {
    std::vector<Tensor> found[2];
    for (int reference : {0, 1}) {
      Run run = reference ? make_run(c, DType::f64, Device::cpu()) : make_run(c);
      forward(run);
      const Tensor& like = run.in.p;
      const Tensor dy = Tensor::from(random_values(run.y.numel(), 1, 9), run.y.shape())
                            .to(dtype())
                            .to(like.dtype())
                            .to(like.device());
      RecurrentGradients g = {Tensor::empty_like(like), Tensor::empty_like(like),
                              Tensor::empty_like(run.h_n), Tensor()};
      if (run.c_n.defined()) g.dc0 = Tensor::empty_like(run.c_n);
      recurrent_backward(g, dy, run.saved, run.in.w_hh, run.in.lengths, run.options);
      found[reference] = {g.dp, g.du, g.dh0};
      if (g.dc0.defined()) found[reference].push_back(g.dc0);
    }
    for (std::size_t i = 0; i < found[0].size(); ++i)
      expect_close(found[0][i], to_doubles(found[1][i]), run_tolerance(),
                   detail::concat("gradient ", i, " of cell ", static_cast<int>(c.cell)));
  }
}

TEST_P(RecurrentTest, EmptyBatch) {
  expect_no_launch();
  Run run = make_run({RecurrentCell::lstm, 0, 3, 2});
  forward(run);
}

TEST_P(RecurrentTest, Rejections) {
  expect_no_launch();
  const Case c = {RecurrentCell::gru, 2, 3, 4};
  const auto refuses = [&](auto change, const std::string& part) {
    Run run = make_run(c);
    change(run);
    expect_error([&] { forward(run); }, part);
  };
  refuses(
      [&](Run& r) {
        r.in.p = make_like({2, 3, 11});
      },
      "recurrent_forward: p has shape (2,3,11); expected (2,3,12)");
  refuses([&](Run& r) { r.in.w_hh = make_like({8, 4}); }, "w_hh has shape (8,4); expected (12,4)");
  refuses([&](Run& r) { r.in.b_hh = make_like({4}); }, "b_hh has shape (4); expected (12)");
  refuses([&](Run& r) { r.in.h0 = make_like({2, 3}); }, "h0 has shape (2,3); expected (2,4)");
  refuses([&](Run& r) { r.in.c0 = make_like({2, 4}); }, "c0 is given; expected one for an lstm");
  refuses([&](Run& r) { r.in.lengths = make_like({2}); }, "expected i32 of shape (2)");
  refuses([&](Run& r) { r.y = make_like({2, 3, 5}); }, "y has shape (2,3,5); expected (2,3,4) or");
  refuses([&](Run& r) { r.h_n = make_like({2, 5}); }, "h_n has shape (2,5); expected (2,4)");
  refuses([&](Run& r) { r.saved.gates = make_like({2, 3, 12}); }, "saved.gates has shape (2,3,12)");
  Run run = make_run(c);
  RecurrentGradients g = {run.in.p, run.in.p, run.h_n, {}};
  expect_error([&] { recurrent_backward(g, run.y, run.saved, run.in.w_hh, {}, run.options); },
               "dp and du share memory");
  g.dh0 = make_like({1, 4});
  g.du = Tensor::empty_like(g.dp);
  expect_error([&] { recurrent_backward(g, run.y, run.saved, run.in.w_hh, {}, run.options); },
               "dh0 has shape (1,4); expected (2,4)");
}

class RecurrentBits : public RecurrentTest {};
INSTANTIATE_TEST_SUITE_P(Cpu, RecurrentBits,
                         ::testing::Values(DeviceDtype{Device::cpu(), DType::f32, 0},
                                           DeviceDtype{Device::cpu(), DType::bf16, 0}),
                         [](const auto& test) { return test.param.name(); });

// More sequences than a task takes, columns that no tile divides.
TEST_P(RecurrentBits, SameBitsForThreadsAndInstructionSets) {
  for (RecurrentCell cell : kCells)
    expect_same_bits([&] {
      Run run = make_run({cell, 37, 3, 13, true, true, true});
      forward(run);
      RecurrentGradients g = {Tensor::empty_like(run.in.p), Tensor::empty_like(run.in.p),
                              Tensor::empty_like(run.h_n), Tensor()};
      if (run.c_n.defined()) g.dc0 = Tensor::empty_like(run.c_n);
      const Tensor dy = make(random_values(run.y.numel()), run.y.shape());
      recurrent_backward(g, dy, run.saved, run.in.w_hh, run.in.lengths, run.options);
      return std::vector<Tensor>{run.y, run.h_n, run.saved.gates, g.dp, g.du, g.dh0};
    });
}

}  // namespace
}  // namespace limbeck::testing
