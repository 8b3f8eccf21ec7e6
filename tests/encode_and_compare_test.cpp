// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/encode_and_compare.h>

#include <limits>

#include <limbeck/kernels/elementwise.h>
#include <limbeck/kernels/rademacher_projection.h>
#include <limbeck/tests/same_bits.h>

namespace limbeck::testing {
namespace {

using Outputs = EncodeAndCompareOutputs;
using Options = EncodeAndCompareOptions;

enum class Kind { given, rademacher, count_sketch };
constexpr Kind kKinds[] = {Kind::given, Kind::rademacher, Kind::count_sketch};

TapEncoder encoder(Kind kind, std::uint64_t seed, std::int64_t D, std::int64_t K, Device device) {
  if (kind == Kind::rademacher) return RademacherMatrix{seed, 2};
  if (kind == Kind::count_sketch) return count_sketch_plan(D, K, {seed, 2, 0}, device);
  return GivenCode{};
}

/// The encoder as a matrix (K,D).
std::vector<double> matrix_of(const TapEncoder& encoder, std::int64_t D, std::int64_t K) {
  std::vector<double> m(static_cast<std::size_t>(K * D));
  const auto* signs = std::get_if<RademacherMatrix>(&encoder);
  const auto* plan = std::get_if<CountSketchPlan>(&encoder);
  const auto target = plan ? plan->target.to_vector<std::int32_t>() : std::vector<std::int32_t>();
  for (std::int64_t k = 0; k < K; ++k)
    for (std::int64_t d = 0; d < D; ++d) {
      double& e = m[static_cast<std::size_t>(k * D + d)];
      if (signs)
        e = rademacher_sign(*signs, static_cast<std::uint32_t>(k), static_cast<std::uint64_t>(d)) /
            std::sqrt(static_cast<double>(K));
      else if (plan)
        e = target[static_cast<std::size_t>(d)] / 2 != k ? 0
            : target[static_cast<std::size_t>(d)] % 2    ? -1
                                                         : 1;
      else
        e = k == d;
    }
  return m;
}

struct Expected {
  std::vector<double> row_loss, dstudent, student_code, teacher_code;
};

/// The formulas in double, with matrices.
Expected composition(const Tensor& student, const Tensor& teacher, const Options& o,
                     const std::vector<double>& weight) {
  const auto N = student.dim(0), Ds = student.dim(1), Dt = teacher.dim(1), K = o.K;
  const auto s = to_doubles(student), t = to_doubles(teacher);
  const auto ms = matrix_of(o.student, Ds, K), mt = matrix_of(o.teacher, Dt, K);
  Expected e;
  for (std::int64_t n = 0; n < N; ++n) {
    double loss = 0;
    std::vector<double> dx(static_cast<std::size_t>(Ds));
    for (std::int64_t k = 0; k < K; ++k) {
      double cs = 0, ct = 0;
      for (std::int64_t d = 0; d < Ds; ++d) cs += ms[k * Ds + d] * s[n * Ds + d];
      for (std::int64_t d = 0; d < Dt; ++d) ct += mt[k * Dt + d] * t[n * Dt + d];
      loss += (cs - ct) * (cs - ct) / static_cast<double>(K);
      for (std::int64_t d = 0; d < Ds; ++d)
        dx[d] += 2 / (static_cast<double>(K) * o.mean_over) * (cs - ct) * ms[k * Ds + d];
      e.student_code.push_back(cs);
      e.teacher_code.push_back(ct);
    }
    e.row_loss.push_back(weight[n] * loss);
    for (double v : dx) e.dstudent.push_back(weight[n] * v);
  }
  return e;
}

class EncodeAndCompareTest : public DeviceTest {
 protected:
  DType compute() const { return dtype() == DType::f64 ? DType::f64 : DType::f32; }
  Tensor make_weights(const std::vector<double>& values) const {
    const Shape shape{static_cast<std::int64_t>(values.size())};
    return Tensor::from(values, shape).to(compute()).to(device());
  }
  /// Everything there is to know, codes in full precision.
  Outputs run(const Tensor& student, const Tensor& teacher, const Options& o,
              const Tensor& weight = {}) const {
    const std::int64_t N = student.dim(0);
    Outputs out{Tensor::full({N}, 777, compute(), device()), make_like(student.shape()),
                Tensor::full({N, o.K}, 777, compute(), device()),
                Tensor::full({N, o.K}, 777, compute(), device())};
    encode_and_compare_forward_with_grad(out, student, teacher, weight, o);
    return out;
  }
};
LIMBECK_INSTANTIATE_DEVICE_TEST(EncodeAndCompareTest);

TEST_P(EncodeAndCompareTest, HandNumbers) {
  // ((1 - 0)^2 + (2 - 4)^2) / 2 = 2.5, gradient 2/2 (1,-2); three times that.
  const Tensor student = make({1, 2, 1, 2}, {2, 2}), teacher = make({0, 4, 0, 4}, {2, 2});
  const Outputs out = run(student, teacher, {.K = 2, .mean_over = 1}, make_weights({1, 3}));
  expect_close(out.row_loss, {2.5, 7.5}, tolerance());
  expect_close(out.dstudent, {1, -2, 3, -6}, tolerance());
  // A mean over the two rows.
  expect_close(run(student, teacher, {.K = 2}).dstudent, {0.5, -1, 0.5, -1}, tolerance());
}

TEST_P(EncodeAndCompareTest, MatchesComposition) {
  struct Case {
    std::int64_t N, Ds, Dt, K;
  };
  // Blocks take 4 rows, and 16 from 513 on, K up to 128, 256 and beyond; misaligned rows.
  for (const auto& [N, Ds, Dt, K] : {Case{1, 5, 3, 1}, Case{5, 40, 133, 24}, Case{18, 33, 9, 130},
                                     Case{2, 260, 64, 300}, Case{515, 8, 7, 8}})
    for (const Kind side : kKinds)
      for (const Kind other : kKinds) {
        if (side != other && N * K > 200) continue;  // the emulated GPU is slow
        const std::int64_t width = side == Kind::given ? K : Ds;
        const std::int64_t teacher_width = other == Kind::given ? K : Dt;
        Options o{.K = K, .mean_over = 7};
        o.student = encoder(side, 1, width, K, device());
        o.teacher = encoder(other, 2, teacher_width, K, device());
        const Tensor student = make(random_values(N * width, 1, 1), {N, width});
        const Tensor teacher = make(random_values(N * teacher_width, 1, 2), {N, teacher_width});
        std::vector<double> weight;
        for (std::int64_t n = 0; n < N; ++n) weight.push_back(static_cast<double>(n % 4) / 2);
        const Expected e = composition(student, teacher, o, weight);
        const Outputs out = run(student, teacher, o, make_weights(weight));
        const std::string what =
            detail::concat("N ", N, " D ", width, " ", teacher_width, " K ", K, " encoders ",
                           static_cast<int>(side), " ", static_cast<int>(other));
        // Sums of up to 260 terms, of f32 throughout even for 16-bit taps.
        const double exact = dtype() == DType::f64 ? 1e-12 : 4e-6;
        expect_close(out.student_code, e.student_code, exact, what);
        expect_close(out.teacher_code, e.teacher_code, exact, what);
        expect_close(out.row_loss, e.row_loss, exact, what);
        expect_close(out.dstudent, e.dstudent, std::max(exact, tolerance()), what);
      }
}

TEST_P(EncodeAndCompareTest, EveryDeviceGivesTheSameBits) {
  const std::int64_t N = 9, D = 70, K = 36;
  for (const Kind kind : kKinds) {
    const std::int64_t width = kind == Kind::given ? K : D;
    const Tensor student = make(random_values(N * width, 1, 1), {N, width});
    const Tensor teacher = make(random_values(N * K, 1, 2), {N, K});
    const Outputs out =
        run(student, teacher, {.K = K, .student = encoder(kind, 1, width, K, device())});
    Outputs host{Tensor::empty({N}, compute()),
                 Tensor::empty({N, width}, dtype()),
                 Tensor::empty({N, K}, compute()),
                 {}};
    encode_and_compare_forward_with_grad(
        host, student.to(Device::cpu()), teacher.to(Device::cpu()), {},
        {.K = K, .student = encoder(kind, 1, width, K, Device::cpu())});
    EXPECT_TRUE(same_bytes(out.student_code, host.student_code));
    EXPECT_TRUE(same_bytes(out.dstudent, host.dstudent));
  }
}

TEST_P(EncodeAndCompareTest, EqualTapsCostNothing) {
  const std::int64_t N = 6, D = 50, K = 20;
  const Tensor tap = make(random_values(N * D, 3), {N, D});
  for (const Kind kind : {Kind::rademacher, Kind::count_sketch}) {
    const TapEncoder same = encoder(kind, 5, D, K, device());
    const Outputs out = run(tap, tap, {.K = K, .student = same, .teacher = same});
    EXPECT_EQ(to_doubles(out.row_loss), std::vector<double>(N, 0.0));
    EXPECT_EQ(to_doubles(out.dstudent), std::vector<double>(N * D, 0.0));
  }
}

TEST_P(EncodeAndCompareTest, AStoredTeacherIsTheTeacher) {
  const std::int64_t N = 7, Ds = 30, Dt = 45, K = 16;
  const Tensor student = make(random_values(N * Ds, 1, 1), {N, Ds});
  const Tensor teacher = make(random_values(N * Dt, 1, 2), {N, Dt});
  Options o{.K = K, .student = RademacherMatrix{1, 0}, .teacher = RademacherMatrix{2, 0}};
  const Outputs live = run(student, teacher, o);
  o.teacher = GivenCode{};
  const Outputs cached = run(student, live.teacher_code, o);
  EXPECT_TRUE(same_bytes(cached.row_loss, live.row_loss));
  EXPECT_TRUE(same_bytes(cached.dstudent, live.dstudent));
  // A code stored in the taps' dtype moves by its rounding.
  Outputs rounded{Tensor::full({N}, 0, compute(), device()), {}, {}, make_like({N, K})};
  o.teacher = RademacherMatrix{2, 0};
  encode_and_compare_forward_with_grad(rounded, student, teacher, {}, o);
  EXPECT_TRUE(same_bytes(rounded.row_loss, live.row_loss));
  expect_close(rounded.teacher_code, to_doubles(live.teacher_code), tolerance());
}

TEST_P(EncodeAndCompareTest, ARowOfNoWeightCostsNothingWhateverItHolds) {
  const std::int64_t N = 5, D = 12, K = 6;
  auto values = random_values(N * D);
  const Tensor teacher = make(values, {N, D});
  values[2 * D + 1] = std::numeric_limits<double>::quiet_NaN();
  const Tensor student = make(values, {N, D});
  for (const Kind kind : {Kind::rademacher, Kind::count_sketch}) {
    const Options o{.K = K,
                    .student = encoder(kind, 1, D, K, device()),
                    .teacher = encoder(kind, 2, D, K, device())};
    const Outputs out = run(student, teacher, o, make_weights({1, 1, 0, 1, 1}));
    const auto loss = to_doubles(out.row_loss), dx = to_doubles(out.dstudent);
    for (std::int64_t n = 0; n < N; ++n) EXPECT_EQ(loss[n] > 0, n != 2) << loss[n];
    for (std::int64_t d = 0; d < D; ++d) EXPECT_EQ(dx[2 * D + d], 0);
    // With a weight, the NaN is seen, and only there.
    const auto spoilt = to_doubles(run(student, teacher, o).row_loss);
    for (std::int64_t n = 0; n < N; ++n) EXPECT_EQ(std::isnan(spoilt[n]), n == 2);
  }
}

TEST_P(EncodeAndCompareTest, GradientMayReplaceTheTapOrBeLeftOut) {
  const std::int64_t N = 6, D = 50, K = 20;
  for (const Kind kind : {Kind::rademacher, Kind::count_sketch}) {
    Tensor student = make(random_values(N * D, 1, 1), {N, D});
    const Tensor teacher = make(random_values(N * K, 1, 2), {N, K});
    const Options o{.K = K, .student = encoder(kind, 1, D, K, device())};
    const Outputs out = run(student, teacher, o);
    Outputs loss_only{Tensor::full({N}, 777, compute(), device()), {}, {}, {}};
    encode_and_compare_forward_with_grad(loss_only, student, teacher, {}, o);
    EXPECT_TRUE(same_bytes(loss_only.row_loss, out.row_loss));
    Outputs in_place{loss_only.row_loss, student, {}, {}};
    encode_and_compare_forward_with_grad(in_place, student, teacher, {}, o);
    EXPECT_TRUE(same_bytes(student, out.dstudent));
  }
}

TEST_P(EncodeAndCompareTest, NoRows) {
  expect_no_launch();
  EXPECT_EQ(run(make({}, {0, 8}), make({}, {0, 9}),
                {.K = 4, .student = RademacherMatrix{}, .teacher = RademacherMatrix{}})
                .row_loss.numel(),
            0);
}

TEST(EncodeAndCompare, SameBitsForThreadsAndInstructionSets) {
  const std::int64_t N = 600, D = 40, K = 24;
  const Tensor x = Tensor::from(random_values(N * D), {N, D}).to(DType::f32);
  const Tensor code = Tensor::from(random_values(N * K), {N, K}).to(DType::f32);
  expect_same_bits([&] {
    std::vector<Tensor> results;
    for (const Kind kind : {Kind::rademacher, Kind::count_sketch}) {
      Outputs out{Tensor::empty({N}), Tensor::empty({N, D}), Tensor::empty({N, K}), {}};
      encode_and_compare_forward_with_grad(
          out, x, code, {}, {.K = K, .student = encoder(kind, 1, D, K, Device::cpu())});
      results.insert(results.end(), {out.row_loss, out.dstudent, out.student_code});
    }
    return results;
  });
}

TEST(EncodeAndCompare, Rejections) {
  const Tensor s = Tensor::zeros({2, 8}), t = Tensor::zeros({2, 9}), code = Tensor::zeros({2, 4});
  const Options good{.K = 4, .student = RademacherMatrix{}, .teacher = RademacherMatrix{}};
  Outputs out{Tensor::zeros({2}), {}, {}, {}};
  const auto rejects = [&](const Tensor& student, const Tensor& teacher, const Options& o,
                           const std::string& message) {
    expect_error([&] { encode_and_compare_forward_with_grad(out, student, teacher, {}, o); },
                 "encode_and_compare: " + message);
  };
  rejects(s, Tensor(), good, "student, teacher or row_loss is undefined");
  rejects(s, t, {}, "K is 0; expected 1 to 1024");
  rejects(s, t, {.K = 4, .mean_over = -1}, "mean_over is -1; expected >= 0");
  rejects(s, Tensor::zeros({3, 8}), good,
          "student has shape (2,8), teacher (3,8); expected (N,Ds) and (N,Dt)");
  rejects(Tensor::zeros({2, 8}, DType::i32), t, good, "student is i32; expected a floating dtype");
  rejects(s, t.to(DType::bf16), good, "student is f32, teacher bf16; expected f32");
  rejects(s, t, {.K = 4, .student = RademacherMatrix{}},
          "teacher has shape (2,9), K is 4; expected a code (N,K)");
  rejects(s, Tensor::zeros({2, 0}), good, "teacher has shape (2,0); expected (N,D) with D >= 1");
  rejects(s, code, {.K = 4, .student = count_sketch_plan(8, 5, {})},
          "student has shape (2,8), K is 4, its plan for D 8 and K 5");
  out.dstudent = Tensor::zeros({2, 9});
  rejects(s, t, good, "dstudent is f32(2,9) on cpu; expected f32(2,8) on cpu");
  out.dstudent = Tensor();
  out.teacher_code = Tensor::zeros({2, 4}, DType::f64);
  rejects(s, t, good, "teacher_code is f64(2,4) on cpu; expected f32(2,4) on cpu");
  out.teacher_code = Tensor();
  out.row_loss = Tensor::zeros({3});
  rejects(s, t, good, "row_loss is f32(3) on cpu; expected f32(2) on cpu");
  out.row_loss = Tensor::zeros({2});
  expect_error([&] { encode_and_compare_forward_with_grad(out, s, t, Tensor::zeros({3}), good); },
               "encode_and_compare: row_weight is f32(3) on cpu; expected f32(2) on cpu");
}

class EncodeAndCompareExactTest : public EncodeAndCompareTest {};
INSTANTIATE_TEST_SUITE_P(Devices, EncodeAndCompareExactTest,
                         ::testing::ValuesIn(full_precision_devices()),
                         [](const auto& test) { return test.param.name(); });

TEST_P(EncodeAndCompareExactTest, HasTheBitsOfTheSeparateOps) {
  const std::int64_t N = 20, Ds = 150, Dt = 33, K = 40;
  const Tensor student = make(random_values(N * Ds, 1, 1), {N, Ds});
  const Tensor teacher = make(random_values(N * Dt, 1, 2), {N, Dt});
  const RademacherMatrix ms{1, 0}, mt{2, 0};
  const Outputs out = run(student, teacher, {.K = K, .student = ms, .teacher = mt});
  Tensor cs = make_like({N, K}), ct = make_like({N, K}), dx = make_like({N, Ds});
  rademacher_projection_forward(cs, student, ms);
  rademacher_projection_forward(ct, teacher, mt);
  EXPECT_TRUE(same_bytes(out.student_code, cs));
  EXPECT_TRUE(same_bytes(out.teacher_code, ct));
  axpy(cs, -1, ct);
  scale(cs, cs, 2.0 / (K * N));
  rademacher_projection_backward(dx, cs, ms);
  EXPECT_TRUE(same_bytes(out.dstudent, dx));
}

}  // namespace
}  // namespace limbeck::testing
