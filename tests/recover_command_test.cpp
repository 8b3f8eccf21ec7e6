// SPDX-License-Identifier: Apache-2.0
// How many measurements sparse recovery takes, and the command that prints it.
#include <limbeck/tools/recover_command.h>

#include <sstream>

#include <limbeck/tests/same_bits.h>
#include <limbeck/tests/temporary_folder.h>
#include <limbeck/tools/json_object.h>

namespace limbeck::testing {
namespace {

RecoverArguments small() {
  RecoverArguments arguments;
  arguments.trials.dimension = 64;
  arguments.trials.trials = 100;
  arguments.sparsity = {2, 3};
  return arguments;
}

std::string output(const RecoverArguments& arguments) {
  std::ostringstream out;
  recover_command(arguments, out);
  return out.str();
}

// With m = D almost everything comes back, with m = s nothing.
TEST(RecoveredShare, GrowsWithTheMeasurements) {
  RecoveryTrials trials{.dimension = 64, .trials = 200};
  for (const auto kind : {MeasurementKind::gaussian, MeasurementKind::rademacher}) {
    trials.matrix = kind;
    EXPECT_LT(recovered_share(trials, 3, 4), 0.05);
    const double half = recovered_share(trials, 3, 16);
    EXPECT_GT(half, 0.2);
    EXPECT_LT(half, 0.9);
    EXPECT_GT(recovered_share(trials, 3, 40), 0.97);
  }
  trials.fista = true;
  trials.trials = 30;
  EXPECT_GT(recovered_share(trials, 3, 40), 0.9);
}

TEST(RecoveredShare, DoesNotDependOnThreads) {
  const RecoveryTrials trials{.dimension = 64, .trials = 60};
  expect_same_bits(
      [&] { return std::vector{Tensor::full({1}, recovered_share(trials, 3, 16), DType::f64)}; });
}

TEST(RecoveryCurve, EndsWhereItIsEnough) {
  const RecoveryCurve curve = recovery_curve({.dimension = 64, .trials = 100}, 3);
  EXPECT_EQ(curve.measurements.front(), 8);
  EXPECT_EQ(curve.enough(), curve.measurements.back());
  EXPECT_GE(curve.recovered.back(), 0.99);
  for (std::size_t i = 0; i + 1 < curve.recovered.size(); ++i) EXPECT_LT(curve.recovered[i], 0.99);
  // 2 s ln(D - s) = 24.7 is the law of large D; a small one takes a little more.
  EXPECT_GT(curve.enough(), 20);
  EXPECT_LT(curve.enough(), 45);
  EXPECT_EQ((RecoveryCurve{2, {4, 8}, {0.1, 0.5}}.enough()), 0);
}

TEST(RecoverCommand, PrintsPercentagesAndCounts) {
  RecoverArguments arguments = small();
  const TemporaryFolder folder;
  arguments.json = folder.file("out.json");
  arguments.measurements = {8, 40};
  const std::string text = output(arguments);
  for (const char* part :
       {"measurements", "s = 2: %", "s = 3: %", "gaussian, omp, D = 64, 100 trials",
        "measurements for 99 %", "2 s ln(D - s)"})
    EXPECT_NE(text.find(part), std::string::npos) << part << " in\n" << text;
  const nlohmann::json written = read_json_file(arguments.json);
  EXPECT_EQ(written["curves"][1]["sparsity"], 3);
  EXPECT_EQ(written["curves"][1]["measurements"], (std::vector<int>{8, 40}));
  EXPECT_EQ(written["curves"][0]["enough"], 40);
  EXPECT_EQ(output(arguments), text);
}

TEST(RecoverCommand, Rejections) {
  const auto refused = [](auto change, const std::string& part) {
    RecoverArguments arguments = small();
    change(arguments);
    expect_error([&] { output(arguments); }, part);
  };
  refused([](auto& a) { a.matrix = "gauss"; },
          "recover: matrix is 'gauss'; expected one of rademacher, gaussian, achlioptas, "
          "count_sketch, srht");
  refused([](auto& a) { a.method = "bp"; }, "recover: method is 'bp'; expected omp or fista");
  refused([](auto& a) { a.sparsity = {65}; }, "recover: sparsity is 65; expected 1 to 64");
  refused([](auto& a) { a.measurements = {65}; }, "recover: measurements is 65; expected 1 to 64");
  refused([](auto& a) { a.trials.trials = 0; }, "recover: trials is 0; expected at least 1");
  refused([](auto& a) { a.trials.dimension = 0; }, "recover: dimension is 0");
  RecoverArguments arguments = small();
  arguments.json = "/nowhere/out.json";
  expect_error<IoError>([&] { output(arguments); }, "/nowhere/out.json: cannot be written");
}

}  // namespace
}  // namespace limbeck::testing
