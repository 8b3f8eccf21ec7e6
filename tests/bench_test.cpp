// SPDX-License-Identifier: Apache-2.0
// limbeck bench: what it measures, writes, compares and refuses. No figure is tested: those depend
// on the machine.
#include <nlohmann/json.hpp>

#include <limbeck/kernels/elementwise.h>
#include <limbeck/tests/device_test.h>
#include <limbeck/tests/temporary_folder.h>
#include <limbeck/tools/bench/bench_report.h>
#include <limbeck/tools/bench/bench_table.h>
#include <limbeck/tools/bench/random_tensor.h>
#include <limbeck/tools/bench/stream.h>
#include <limbeck/tools/cli.h>

namespace limbeck::testing {
namespace {

using nlohmann::json;

struct Outcome {
  int code;
  std::string out, err;
};

/// Of a small benchmark, as short as can be.
Outcome bench_dropout(std::vector<std::string> more = {}) {
  std::vector<std::string> arguments = {"bench",  "dropout",   "--device", "cpu",
                                        "--warm", "--seconds", "0",        "--no-ceilings"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  std::ostringstream out, err;
  const int code = run_cli(arguments, {out}, err);
  return {code, out.str(), err.str()};
}

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t n = 0;
  for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

const BenchSettings kShort{.seconds = 0, .warm = true};

class BenchOn : public DeviceTest {
 protected:
  Bench make_bench() { return {device(), {}, kShort, out_}; }
  std::ostringstream out_;
};
INSTANTIATE_TEST_SUITE_P(Devices, BenchOn,
                         ::testing::ValuesIn(limbeck::testing::full_precision_devices()),
                         [](const auto& test) { return test.param.name(); });

TEST_P(BenchOn, TimesACallAndWhatItAllocates) {
  struct Slot {
    Tensor y, x;
  };
  Bench bench = make_bench();
  int made = 0;
  bench.time(
      "scale", "n=64", {.bytes = 512},
      [&] {
        ++made;
        return Slot{bench.zeros({64}), bench.random({64})};
      },
      [&](Slot& s) {
        const Tensor scratch = Tensor::empty({1000}, DType::f32, device());
        scale(s.y, s.x, 2);
      });
  EXPECT_EQ(made, 1) << "warm: the same tensors at every call";
  ASSERT_EQ(bench.results().size(), 1u);
  const BenchResult& result = bench.results()[0];
  EXPECT_GT(result.min, 0);
  EXPECT_LE(result.min, result.median);
  EXPECT_GE(result.samples, 7);
  EXPECT_GE(result.extra_bytes, 4000);
  EXPECT_LT(result.extra_bytes, 8000);
  EXPECT_EQ(count(out_.str(), "scale "), 1u) << out_.str();
}

TEST_P(BenchOn, RefusesZeros) {
  Bench bench = make_bench();
  const auto time = [&](double random_scale, double factor) {
    bench.time(
        "scale", "n=64", {}, [&] { return bench.random({64}, random_scale, dtype()); },
        [&](Tensor& x) { scale(x, x, factor); });
  };
  time(1, 1);
  EXPECT_EQ(bench.refused(), 0);
  time(0, 1);
  EXPECT_EQ(bench.refused(), 1);
  EXPECT_EQ(count(out_.str(), "an input of shape (64) is all zeros before the first call"), 1u);
  time(1, 1e-10);
  EXPECT_EQ(bench.refused(), 2);
  EXPECT_EQ(count(out_.str(), "an input of shape (64) is all zeros after the last call"), 1u);
  EXPECT_EQ(bench.results().size(), 1u) << out_.str();
}

TEST(Bench, ManySlotsUnlessWarm) {
  std::ostringstream out;
  Bench bench(Device::cpu(), {}, {.seconds = 0}, out);
  int made = 0;
  bench.time(
      "nothing", "", {.bytes = 1e6}, [&] { return ++made; }, [](int) {});
  const double cache = std::max(cache_bytes(Device::cpu(), 2), cache_bytes(Device::cpu(), 3));
  EXPECT_GE(made * 1e6, std::min(2 * cache, 256e6));
  EXPECT_EQ(bench.results()[0].slots, made);
}

TEST(Bench, RooflineIsTheSlowestPart) {
  const Ceilings ceilings{
      .stream = {{1e6, 100e9}, {4e6, 50e9}}, .fma = 10e9, .product_f32 = 8e9, .exp = 1e9};
  EXPECT_EQ(ceilings.stream_at(1), 100e9);
  EXPECT_DOUBLE_EQ(ceilings.stream_at(2e6), 75e9);  // halfway between, by the logarithm
  EXPECT_EQ(ceilings.stream_at(1e9), 50e9);
  EXPECT_EQ(Ceilings{}.stream_at(1), 0);
  const Work work{.bytes = 1e6, .flops = 2e5, .exps = 1e4};  // 20, 20 and 10 us from memory
  EXPECT_DOUBLE_EQ(roofline({.bytes = 1e6}, 1e9, ceilings).seconds, 20e-6);
  EXPECT_DOUBLE_EQ(roofline({.bytes = 1e6}, 1e6, ceilings).seconds, 10e-6);
  EXPECT_EQ(roofline(work, 1e6, ceilings).limit, "product");
  EXPECT_DOUBLE_EQ(roofline({.flops = 2e5}, 0, ceilings).seconds, 20e-6);
  EXPECT_EQ(roofline({.bytes = 1e6, .exps = 1e5}, 1e9, ceilings).limit, "exp");
  EXPECT_EQ(roofline(work, 1e9, {}).seconds, 0);
}

TEST(Bench, CeilingsOfTheCpu) {
  for (const double working_set : {0x1p16, 0x1p22})
    EXPECT_GT(measure_stream(Device::cpu(), working_set), 0);
  EXPECT_GT(measure_copy(Device::cpu()), 0);
}

TEST(Bench, RandomTensorsDiffer) {
  const Tensor a = random_tensor({100}, 2, DType::bf16, Device::cpu(), 0);
  const Tensor b = random_tensor({100}, 2, DType::bf16, Device::cpu(), 1);
  EXPECT_FALSE(same_bytes(a, b));
  EXPECT_FALSE(starts_with_zeros_only(a));
  EXPECT_TRUE(starts_with_zeros_only(Tensor::full({100}, 1e-40)));  // subnormal
}

TEST(Bench, JsonRoundTrip) {
  std::ostringstream out;
  Bench bench(Device::cpu(), {.stream = {{1, 1e9}}, .exp = 1e9}, kShort, out);
  bench.time(
      "a/b", "n=2 f32", {.bytes = 8, .flops = 4, .exps = 2, .product = DType::bf16},
      [&] { return bench.random({2}); }, [](Tensor& x) { scale(x, x, 1); });
  const json report = json::parse(write_bench(bench, kShort).dump());
  for (const char* key : {"commit", "date", "slow_build", "machine", "settings", "ceilings"})
    EXPECT_TRUE(report.contains(key)) << key;
  for (const char* key : {"cpu", "device_name", "threads", "isa"})
    EXPECT_TRUE(report["machine"].contains(key)) << key;
  const BenchResult was = bench.results()[0];
  const std::vector<BenchResult> read = read_bench_results(report, "x.json");
  ASSERT_EQ(read.size(), 1u);
  const BenchResult& is = read[0];
  EXPECT_EQ(is.name, was.name);
  EXPECT_EQ(is.shape, was.shape);
  EXPECT_EQ(is.median, was.median);
  EXPECT_EQ(is.min, was.min);
  EXPECT_EQ(is.samples, was.samples);
  EXPECT_EQ(is.slots, was.slots);
  EXPECT_EQ(is.extra_bytes, was.extra_bytes);
  EXPECT_EQ(is.work.exps, 2);
  EXPECT_EQ(is.work.product, DType::bf16);
  EXPECT_EQ(is.roofline.seconds, was.roofline.seconds);
  EXPECT_EQ(is.roofline.limit, was.roofline.limit);
  expect_error([] { read_bench_results(json::array({1}), "y.json"); },
               "y.json: is not what limbeck bench --json writes");
}

TEST(Bench, ComparesWithABaseline) {
  const std::string table =
      compare_table({{.name = "a", .shape = "n=1", .median = 3e-6}, {.name = "gone", .shape = ""}},
                    {{.name = "a", .shape = "n=1", .median = 2e-6}, {.name = "new", .shape = ""}});
  EXPECT_EQ(count(table, "3.00      2.00     1.50x\n"), 1u) << table;
  EXPECT_EQ(count(table, "-\n"), 2u) << table;
  EXPECT_EQ(count(table, "\n"), 4u) << table;
}

TEST(Bench, CommandAgainstAnotherMachine) {
  const TemporaryFolder folder;
  const std::string file = folder.file("bench.json");
  const Outcome first = bench_dropout({"--json", file});
  ASSERT_EQ(first.code, 0) << first.err;
  json report = json::parse(read_text(file));
  ASSERT_EQ(report["results"].size(), 2u);
  EXPECT_EQ(count(bench_dropout({"--vs", file}).out, "WARNING: the baseline"), 0u);
  report["machine"]["device_name"] = "a faster one";
  write_text(file, report.dump());
  const Outcome second = bench_dropout({"--vs", file});
  ASSERT_EQ(second.code, 0) << second.err;
  EXPECT_EQ(count(second.out, "WARNING: the baseline has device_name \"a faster one\""), 1u)
      << second.out;
  EXPECT_EQ(count(second.out, "x\n"), 2u) << second.out;
}

TEST(Bench, OneLineForWhatItDoesNotKnow) {
  const auto expect_refusal = [](const Outcome& outcome, const std::string& part) {
    EXPECT_EQ(outcome.code, 1);
    EXPECT_EQ(count(outcome.err, part), 1u) << outcome.err;
    EXPECT_EQ(count(outcome.err, "\n"), 1u) << outcome.err;
    EXPECT_EQ(outcome.out, "");
  };
  expect_refusal(bench_dropout({"kd_los"}),
                 "limbeck: bench: there is no benchmark 'kd_los'; expected one of ");
  expect_refusal(bench_dropout({"--vs", "/nowhere.json"}), "/nowhere.json");
  const Outcome list = bench_dropout({"kd_step", "--list"});
  EXPECT_EQ(list.out, "dropout\nkd_step\n");
}

}  // namespace
}  // namespace limbeck::testing
