// SPDX-License-Identifier: Apache-2.0
#include <limbeck/core/graph.h>

#include <optional>
#include <utility>

#include <limbeck/core/device_work.h>
#include <limbeck/core/pool.h>
#include <limbeck/core/stream.h>
#include <limbeck/kernels/elementwise.h>
#include <limbeck/kernels/sgd.h>
#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

class GraphTest : public ::testing::Test {
 protected:
  static constexpr Device kGpu = Device::cuda();
  void SetUp() override {
    if (cuda_device_count() == 0) GTEST_SKIP() << "no GPU";
  }
  static Tensor random(std::int64_t n, std::uint64_t seed) {
    return Tensor::from(random_values(n, 2, seed), {n}).to(DType::f32).to(kGpu);
  }
};

/// A small training step: what it reads is overwritten between launches, as a batch is.
struct Step {
  Tensor x, weight, grad, momentum;

  explicit Step(Device device)
      : x(Tensor::zeros({1000}, DType::f32, device)),
        weight(Tensor::full({1000}, 0.5, DType::f32, device)),
        grad(Tensor::zeros({1000}, DType::f32, device)),
        momentum(Tensor::zeros({1000}, DType::f32, device)) {}

  void run() {
    Tensor squares = Tensor::empty_like(x);
    mul(squares, x, weight);
    exp(grad, squares);
    axpy(grad, -0.25, x);
    std::vector<SgdParam> params = {{weight, grad, momentum, 0.01}};
    sgd_step(params, {.lr = 0.05, .momentum = 0.9});
  }
};

TEST_F(GraphTest, ReplaysGiveTheBitsOfRunningDirectly) {
  Step direct(kGpu), recorded(kGpu);
  const Graph graph(kGpu, [&] { recorded.run(); });
  EXPECT_TRUE(same_bytes(recorded.weight, direct.weight)) << "recording runs nothing";
  for (std::uint64_t batch = 1; batch <= 3; ++batch) {
    direct.x.copy_from(random(1000, batch));
    recorded.x.copy_from(random(1000, batch));
    direct.run();
    graph.launch();
    EXPECT_TRUE(same_bytes(recorded.grad, direct.grad)) << "batch " << batch;
    EXPECT_TRUE(same_bytes(recorded.weight, direct.weight)) << "batch " << batch;
    EXPECT_TRUE(same_bytes(recorded.momentum, direct.momentum)) << "batch " << batch;
  }
}

TEST_F(GraphTest, LaunchesRunOneAfterTheOther) {
  Tensor x = Tensor::full({10}, 1, DType::f32, kGpu);
  const Graph graph(kGpu, [&] { scale(x, x, 2); });
  for (int i = 0; i < 5; ++i) graph.launch();
  expect_close(x, std::vector<double>(10, 32), 0);
}

TEST_F(GraphTest, FillsAreRecorded) {
  for (const DType dtype : {DType::u8, DType::bf16, DType::f32, DType::i64, DType::f64}) {
    Tensor x = Tensor::full({300}, 1, dtype, kGpu);
    const Graph graph(kGpu, [&] { x.rows(1, 300).fill(3); });
    x.fill(2);
    graph.launch();
    std::vector<double> expected(300, 3);
    expected[0] = 2;
    expect_close(x, expected, 0, std::string(dtype_name(dtype)));
  }
}

TEST_F(GraphTest, CountsWhatTheHostAsksFor) {
  Tensor x = Tensor::full({10}, 1, DType::f32, kGpu);
  const auto asked = [](const std::function<void()>& body) {
    const DeviceWork before = device_work();
    body();
    const DeviceWork after = device_work();
    return std::pair(after.queued - before.queued, after.waits - before.waits);
  };
  using Asked = std::pair<std::uint64_t, std::uint64_t>;  // queued, waits
  EXPECT_EQ(asked([&] { scale(x, x, 2); }), Asked(1, 0));
  EXPECT_EQ(asked([&] { x.fill(3); }), Asked(1, 0));
  EXPECT_EQ(asked([&] { x.clone(); }), Asked(1, 0));
  EXPECT_EQ(asked([&] { x.to_vector<float>(); }), Asked(1, 1));
  EXPECT_EQ(asked([&] { synchronize(kGpu); }), Asked(0, 1));
  std::optional<Graph> graph;
  EXPECT_EQ(asked([&] {
              graph.emplace(kGpu, [&] {
                scale(x, x, 2);
                scale(x, x, 2);
              });
            }),
            Asked(2, 0));
  EXPECT_EQ(asked([&] { graph->launch(); }), Asked(1, 0));
}

TEST_F(GraphTest, BranchesAreRecordedWithTheirOrder) {
  Branch branch(kGpu);
  Tensor x = Tensor::full({10}, 1, DType::f32, kGpu), teacher = Tensor::empty_like(x),
         student = Tensor::empty_like(x);
  const Graph graph(kGpu, [&] {
    scale(x, x, 2);
    branch.run([&] { mul(teacher, x, x); });
    scale(student, x, 10);
    branch.join();
    add(student, student, teacher);
  });
  for (const double doubled : {2, 4, 8}) {
    graph.launch();
    expect_close(student, std::vector<double>(10, 10 * doubled + doubled * doubled), 0);
  }
}

TEST_F(GraphTest, KeepsTheMemoryItsWorkUses) {
  const PoolStats before = pool_stats(kGpu);
  Tensor x = Tensor::full({1000}, 3, DType::f32, kGpu), y = Tensor::empty_like(x);
  {
    const Graph graph(kGpu, [&] {
      Tensor inside = Tensor::empty_like(x);  // gone before the first launch
      scale(inside, x, 2);
      scale(y, inside, 2);
    });
    const Tensor other = Tensor::full({1000}, 7, DType::f32, kGpu);
    graph.launch();
    expect_close(other, std::vector<double>(1000, 7), 0, "memory of the graph was handed out");
    expect_close(y, std::vector<double>(1000, 12), 0);
  }
  x = y = Tensor();
  pool_release_cache(kGpu);
  EXPECT_LE(pool_stats(kGpu).reserved, before.reserved);
}

TEST_F(GraphTest, BranchesDoNotShareMemoryThatIsLetGo) {
  Branch branch(kGpu);
  Tensor x = Tensor::full({1000}, 3, DType::f32, kGpu), teacher = Tensor::empty_like(x),
         student = Tensor::empty_like(x);
  const Graph graph(kGpu, [&] {
    branch.run([&] {
      Tensor inside = Tensor::empty_like(x);
      scale(inside, x, 2);
      add(teacher, inside, inside);
    });
    Tensor inside = Tensor::empty_like(x);
    scale(inside, x, 10);
    add(student, inside, inside);
    branch.join();
  });
  graph.launch();
  expect_close(teacher, std::vector<double>(1000, 12), 0);
  expect_close(student, std::vector<double>(1000, 60), 0);
}

TEST_F(GraphTest, WaitingForTheDeviceIsRefusedAndLeavesNothingBehind) {
  Tensor x = Tensor::full({10}, 1, DType::f32, kGpu);
  const auto expect_refused = [&](const std::function<void()>& body) {
    expect_error<CudaError>([&] { Graph(kGpu, body); }, "");
    scale(x, x, 1);
    expect_close(x, std::vector<double>(10, 1), 0);
  };
  expect_refused([&] { x.to_vector<float>(); });
  expect_refused([&] { x.copy_from(Tensor::full({10}, 2)); });
  expect_refused([&] { synchronize(kGpu); });
}

TEST(GraphOnCpuTest, IsRefused) {
  expect_error([] { Graph(Device::cpu(), [] {}); }, "Graph: device is cpu; expected a GPU");
}

}  // namespace
}  // namespace limbeck::testing
