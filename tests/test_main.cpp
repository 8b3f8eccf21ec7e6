// SPDX-License-Identifier: Apache-2.0
// The main() of every test: work a test leaves queued on a GPU still fails that test, and skipped
// tests are counted at the end, so that green never hides them. On the emulated GPU,
// LIMBECK_SIMT_SCHEDULES=n runs every test under schedules 0 to n-1, and what a test reads from the
// device must be the same bytes under all.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <map>
#include <string>

#include <limbeck/core/device.h>
#include <limbeck/core/dispatch.h>
#include <limbeck/core/pool.h>
#ifdef LIMBECK_SIMT
#include <limbeck/tests/simt/backend.h>
#include <limbeck/tests/simt/schedule.h>
#endif

namespace limbeck::testing {
namespace {

using ::testing::TestInfo;

/// To wait for a GPU that nobody used would first set it up, which takes a moment in every process.
bool gpu_was_used() { return cuda_launch_count() > 0 || pool_stats(Device::cuda()).peak > 0; }

class QueuedWork : public ::testing::EmptyTestEventListener {
  void OnTestEnd(const TestInfo&) override {
    try {
      if (gpu_was_used()) synchronize(Device::cuda());
    } catch (const std::exception& e) {
      ADD_FAILURE() << "in work the test left queued: " << e.what();
    }
  }
  void OnTestIterationEnd(const ::testing::UnitTest& tests, int) override {
    if (tests.skipped_test_count() > 0)
      std::printf("%d tests skipped\n", tests.skipped_test_count());
  }
};

#ifdef LIMBECK_SIMT
class Schedules : public ::testing::EmptyTestEventListener {
  void OnTestIterationStart(const ::testing::UnitTest&, int iteration) override {
    simt::set_schedule(iteration);
  }
  void OnTestStart(const TestInfo&) override { simt::reset_host_digest(); }
  void OnTestEnd(const TestInfo& test) override {
    const std::uint64_t digest = simt::host_digest();
    const auto name = std::string(test.test_suite_name()) + "." + test.name();
    const auto [first, is_first] = digests_.emplace(name, digest);
    if (is_first) return;
    EXPECT_EQ(digest, first->second)
        << "schedule " << simt::schedule() << " gives other bytes than schedule 0";
  }
  std::map<std::string, std::uint64_t> digests_;
};
#endif

int run(int argc, char** argv) {
#ifdef LIMBECK_SIMT
  const char* schedules = std::getenv("LIMBECK_SIMT_SCHEDULES");
  if (schedules) GTEST_FLAG_SET(repeat, std::atoi(schedules));
#endif
  ::testing::InitGoogleTest(&argc, argv);
  ::testing::TestEventListeners& listeners = ::testing::UnitTest::GetInstance()->listeners();
#ifdef LIMBECK_SIMT
  if (schedules) listeners.Append(new Schedules);
#endif
  listeners.Append(new QueuedWork);  // the last one is the first to see a test's end
  return RUN_ALL_TESTS();
}

}  // namespace
}  // namespace limbeck::testing

int main(int argc, char** argv) { return limbeck::testing::run(argc, argv); }
