// SPDX-License-Identifier: Apache-2.0
#include <limbeck/core/trace.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <thread>

#include <limbeck/kernels/elementwise.h>
#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

class TraceTest : public DeviceTest {
 protected:
  Tensor values(double value) { return Tensor::full({4}, value, dtype(), device()); }
};

TEST_P(TraceTest, NothingIsRecordedWhenNobodyListens) {
  const Tensor x = values(1);
  Tensor y = Tensor::empty_like(x);
  EXPECT_FALSE(traces(TraceKind::range));
  {
    const TraceScope scope("work");
    exp(y, x);
  }
  EXPECT_EQ(trace_place(), "");
  const Tracer tracer(device());
  EXPECT_TRUE(traces(TraceKind::range));
  EXPECT_TRUE(tracer.events().empty());
}

TEST_P(TraceTest, ScopesNestAndKernelsNameThemselves) {
  const Tensor x = values(1);
  Tensor y = Tensor::empty_like(x);
  const Tracer tracer(device());
  {
    const TraceScope step("step", TraceKind::step);
    {
      const TraceScope model("teacher", TraceKind::model);
      const TraceScope node(std::string("fc1"), TraceKind::node);
      EXPECT_EQ(trace_place(), "teacher/fc1");
      exp(y, x);
    }
    EXPECT_EQ(trace_place(), "");
    exp(y, x);
  }
  const std::vector<TraceEvent> events = tracer.events();
  ASSERT_EQ(events.size(), 5u);
  const char* const names[] = {"step", "teacher", "fc1", "exp", "exp"};
  const std::size_t parents[] = {TraceEvent::kNoParent, 0, 1, 2, 0};
  const char* const places[] = {"", "teacher", "teacher/fc1", "teacher/fc1", ""};
  for (std::size_t i = 0; i < events.size(); ++i) {
    EXPECT_EQ(events[i].name, names[i]);
    EXPECT_EQ(events[i].parent, parents[i]) << i;
    EXPECT_EQ(events[i].place, places[i]) << i;
    EXPECT_LE(events[i].begin, events[i].end) << i;
    if (i == 0) continue;
    EXPECT_GE(events[i].begin, events[i - 1].begin) << i;
    EXPECT_LE(events[i].end, events[0].end) << i;
  }
  EXPECT_EQ(events[3].kind, TraceKind::kernel);
  EXPECT_STREQ(trace_kind_name(events[3].kind), "kernel");
  // One kernel for each exp, counted in all ranges around it; none on the CPU.
  const std::uint64_t one = device().is_cuda() ? 1 : 0;
  EXPECT_EQ(events[3].launches, one);
  EXPECT_EQ(events[1].launches, one);
  EXPECT_EQ(events[0].launches, 2 * one);
}

TEST_P(TraceTest, MemoryIsWatched) {
  std::optional<Tensor> kept;
  const Tracer tracer(device());
  {
    const TraceScope scope("take");
    kept = Tensor::zeros({1000}, dtype(), device());
    exp(*kept, *kept);
  }
  {
    const TraceScope scope("give back");
    kept.reset();
  }
  const std::vector<TraceEvent> events = tracer.events();
  const TraceEvent &take = events.at(0), &give = events.back();
  const std::size_t bytes = 1000 * dtype_size(dtype());
  EXPECT_GE(take.bytes_after, take.bytes_before + bytes);
  EXPECT_EQ(give.bytes_before, take.bytes_after);
  EXPECT_EQ(give.bytes_after, take.bytes_before);
}

TEST_P(TraceTest, WaitingChangesNoRange) {
  const Tensor x = values(1);
  Tensor y = Tensor::empty_like(x);
  const Tracer tracer(device(), {.wait = true});
  {
    const TraceScope scope("work");
    exp(y, x);
  }
  const std::vector<TraceEvent> events = tracer.events();
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[1].parent, 0u);
}

LIMBECK_INSTANTIATE_DEVICE_TEST(TraceTest);

TEST(Tracer, RecordsTheKindsThatWereAskedFor) {
  const Tracer tracer(Device::cpu(), {.only = {TraceKind::step, TraceKind::loss}});
  const TraceScope step("step", TraceKind::step);
  const TraceScope model("teacher", TraceKind::model);
  const TraceScope loss("kd_loss", TraceKind::loss);
  EXPECT_FALSE(traces(TraceKind::kernel));
  const std::vector<TraceEvent> events = tracer.events();
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[1].name, "kd_loss");
  EXPECT_EQ(events[1].parent, 0u);
}

TEST(Tracer, APlaceCanBeGiven) {
  const Tracer tracer(Device::cpu());
  const std::string origin = "student";
  {
    const TraceScope gradient("matmul", TraceKind::gradient, &origin);
    const TraceScope node("fc2", TraceKind::node);  // computed again
    EXPECT_EQ(trace_place(), "student/fc2");
  }
  EXPECT_EQ(tracer.events()[0].place, "student");
}

TEST(Tracer, EveryThreadNestsForItself) {
  const Tracer tracer(Device::cpu());
  const TraceScope outer("outer");
  std::thread([] {
    const TraceScope a("a");
    const TraceScope b("b");
  }).join();
  const TraceScope inner("inner");
  const std::vector<TraceEvent> events = tracer.events();
  ASSERT_EQ(events.size(), 4u);
  EXPECT_EQ(events[1].thread, 1);
  EXPECT_EQ(events[1].parent, TraceEvent::kNoParent);
  EXPECT_EQ(events[2].parent, 1u);
  EXPECT_EQ(events[3].thread, 0);
  EXPECT_EQ(events[3].parent, 0u);
  EXPECT_GE(events[3].seconds(), 0) << "an open range ends when it is looked at";
}

TEST(Tracer, ARangeMayOutliveItsTracer) {
  auto first = std::make_unique<Tracer>(Device::cpu());
  auto late = std::make_unique<TraceScope>("late");
  first.reset();
  const Tracer second(Device::cpu());
  {
    const TraceScope scope("of the second");
    late.reset();
  }
  const TraceScope next("next");
  const std::vector<TraceEvent> events = second.events();
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].name, "of the second");
  EXPECT_EQ(events[1].parent, TraceEvent::kNoParent);
}

TEST(Tracer, ThereIsOneAtATime) {
  const Tracer tracer(Device::cpu());
  expect_error([] { Tracer(Device::cpu()); }, "Tracer: another one lives; expected one at a time");
}

}  // namespace
}  // namespace limbeck::testing
