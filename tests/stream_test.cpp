// SPDX-License-Identifier: Apache-2.0
// The emulated GPU runs the streams in every bad order that the events allow (simt_queue_test shows
// that a missing one is seen), so what passes here under all schedules is ordered.
#include <limbeck/core/stream.h>

#include <limbeck/core/pool.h>

#include <limbeck/kernels/elementwise.h>
#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

using StreamTest = DeviceTest;
INSTANTIATE_TEST_SUITE_P(Devices, StreamTest, ::testing::ValuesIn(full_precision_devices()),
                         [](const auto& test) { return test.param.name(); });

TEST_P(StreamTest, AnEventOrdersTwoStreams) {
  Tensor x = make({1, 2, 3}, {3}), y = make_like({3});
  Stream side(device());
  Event written(device()), read(device());
  scale(y, x, 2);
  written.record();
  {
    const StreamScope scope(side);
    written.wait();
    scale(x, y, 10);
    read.record();
  }
  read.wait();
  scale(y, x, 0.5);
  expect_close(y, {10, 20, 30}, tolerance());
}

TEST_P(StreamTest, AScopeEndsWithItsBlock) {
  Stream outer(device()), inner(device());
  Tensor x = make({3}, {1}), y = make_like({1});
  synchronize(device());  // x was written by the compute stream
  {
    const StreamScope scope(outer);
    Tensor z = make_like({1});
    scale(z, x, 2);
    { const StreamScope nested(inner); }
    scale(y, z, 2);  // on another stream it might run first
    expect_close({y.item()}, {12}, tolerance());
  }
}

TEST_P(StreamTest, ABranchRunsAfterTheForkAndBeforeTheJoin) {
  Branch branch(device());
  Tensor x = make({1, 2, 3}, {3}), teacher = make_like({3}), student = make_like({3});
  for (int step = 1; step <= 3; ++step) {
    scale(x, x, 2);
    branch.run([&] {
      Tensor code = Tensor::empty_like(x);  // gone before its reader ran
      scale(code, x, 3);
      add(teacher, x, code);
    });
    mul(student, x, x);
    branch.join();
    add(student, student, teacher);
  }
  expect_close(student, {64 + 32, 256 + 64, 576 + 96}, tolerance());
}

TEST_P(StreamTest, WorkOfADestroyedStreamIsDone) {
  Tensor x = make({3}, {1}), y = make_like({1});
  synchronize(device());
  {
    const Stream side(device());
    const StreamScope scope(side);
    scale(y, x, 2);
  }
  expect_close(y, {6}, tolerance());
}

TEST(StreamMemory, IsReusedInItsStreamsOrderOnly) {
  if (cuda_device_count() == 0) GTEST_SKIP() << "no GPU";
  if (!backend::reuses_memory()) GTEST_SKIP() << "this GPU's memory is not reused";
  const Device device = Device::cuda();
  const std::size_t bytes = 3 << 20;
  const void* taken = nullptr;
  {
    const Stream side(device);
    {
      const StreamScope scope(side);
      taken = pool_allocate(device, bytes).get();
    }
    EXPECT_NE(pool_allocate(device, bytes).get(), taken);
    const StreamScope scope(side);
    EXPECT_EQ(pool_allocate(device, bytes).get(), taken);
  }
  const auto one = pool_allocate(device, bytes), other = pool_allocate(device, bytes);
  EXPECT_TRUE(one.get() == taken || other.get() == taken)
      << "a stream that is gone leaves its blocks";
}

TEST(EventTest, AnEventThatWasNeverRecordedIsNotWaitedFor) {
  for (const DeviceDtype& p : full_precision_devices()) {
    if (p.device.is_cuda() && cuda_device_count() == 0) continue;
    Event event(p.device);
    event.wait();
    synchronize(p.device);
  }
}

}  // namespace
}  // namespace limbeck::testing
