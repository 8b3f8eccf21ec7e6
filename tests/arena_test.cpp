// SPDX-License-Identifier: Apache-2.0
#include <limbeck/core/arena.h>

#include <cstring>
#include <optional>
#include <thread>

#include <limbeck/core/parallel.h>
#include <limbeck/core/philox.h>
#include <limbeck/core/pool.h>
#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

constexpr Device kCpu = Device::cpu();

std::shared_ptr<void> take(std::size_t bytes) { return pool_allocate(kCpu, bytes); }

/// A block that knows what it wrote into all of its bytes.
class Marked {
 public:
  explicit Marked(std::size_t bytes) : bytes_(bytes), mark_(++marks), data_(take(bytes)) {
    std::memset(data_.get(), mark_, bytes);
  }
  bool intact() const {
    const auto* p = static_cast<const unsigned char*>(data_.get());
    return std::all_of(p, p + bytes_, [&](unsigned char c) { return c == mark_; });
  }
  void* get() const { return data_.get(); }

 private:
  static inline unsigned char marks = 0;
  std::size_t bytes_;
  unsigned char mark_;
  std::shared_ptr<void> data_;
};

/// What a step usually does: 0 and 1 live together, 2 lives after 0.
void usual_step(Arena& arena, std::int64_t kind = 0) {
  const Arena::Step step(arena, kind);
  auto a = std::make_unique<Marked>(1000);
  const Marked b(500);
  EXPECT_TRUE(a->intact());
  a.reset();
  const Marked c(900);
  EXPECT_TRUE(b.intact() && c.intact());
}

void expect_planned(const Arena& arena, std::int64_t steps, std::int64_t planned) {
  EXPECT_EQ(arena.stats().steps, steps);
  EXPECT_EQ(arena.stats().planned_steps, planned);
}

TEST(Arena, LaterStepsTakeNothingFromPoolOrSystem) {
  Arena arena;
  usual_step(arena);  // shows what is needed
  EXPECT_EQ(arena.stats().pool_blocks, 3);
  usual_step(arena);  // plans
  const PoolStats before = pool_stats(kCpu);
  for (int i = 0; i < 5; ++i) usual_step(arena);
  EXPECT_EQ(pool_stats(kCpu).blocks, before.blocks);
  EXPECT_EQ(pool_stats(kCpu).system_blocks, before.system_blocks);
  expect_planned(arena, 7, 6);
  EXPECT_EQ(arena.stats().blocks, 3);
  EXPECT_EQ(arena.stats().pool_blocks, 0);
  // 1000 bytes are 1024 and share them with the 900; 500 are 512.
  EXPECT_EQ(arena.stats().bytes, 1024u + 512u);
  EXPECT_EQ(arena.stats().pool_bytes, 1024u + 512u + 960u);
}

TEST(Arena, BlocksAreAlignedAndOfTheStepOnly) {
  Arena arena;
  void* inside = nullptr;
  for (int i = 0; i < 2; ++i) {
    const Arena::Step step(arena);
    const auto block = take(1), other = take(0);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(other.get()) % 64, 0u);
    EXPECT_NE(block.get(), other.get());
    inside = block.get();
  }
  const PoolStats before = pool_stats(kCpu);
  const auto outside = take(1);
  EXPECT_EQ(pool_stats(kCpu).blocks, before.blocks + 1);
  EXPECT_NE(outside.get(), inside);
}

TEST(Arena, AnotherSizeComesFromThePoolAndIsPlannedAfter) {
  Arena arena;
  for (const std::size_t bytes : {100, 100, 7000, 7000}) {
    const Arena::Step step(arena);
    const Marked a(bytes), b(300);
    EXPECT_TRUE(a.intact() && b.intact());
    // Nothing has a place after what does not fit.
    EXPECT_EQ(arena.stats().pool_blocks, arena.stats().steps % 2 == 0 ? 2 : 0) << bytes;
  }
  expect_planned(arena, 4, 2);
}

TEST(Arena, OneBlockMoreComesFromThePoolAndIsPlannedAfter) {
  Arena arena;
  for (const int blocks : {2, 2, 3, 3, 2, 2}) {  // fewer are no trouble
    const Arena::Step step(arena);
    std::vector<Marked> all;
    for (int i = 0; i < blocks; ++i) all.emplace_back(256);
    for (const Marked& m : all) EXPECT_TRUE(m.intact());
  }
  expect_planned(arena, 6, 4);
}

// The plan lets the last block lie where the first was. This time the first is still there.
TEST(Arena, APlaceThatIsStillOwnedIsNotGivenAgain) {
  Arena arena;
  for (const bool late : {false, false, true, false, false}) {
    const Arena::Step step(arena);
    auto a = std::make_optional<Marked>(1000);
    const Marked b(500);
    if (!late) a.reset();
    const Marked c(900), d(800);
    EXPECT_TRUE(!late || a->intact());
    EXPECT_TRUE(b.intact() && c.intact() && d.intact());
  }
  expect_planned(arena, 5, 3);  // after the third, whose plan is wider than it must be
}

TEST(Arena, BlocksThatOutliveTheirStepKeepTheirBytes) {
  Arena arena;
  std::vector<Marked> kept;
  for (const bool keep : {false, false, true, true, false, false, false}) {
    const Arena::Step step(arena);
    Marked a(400), b(300);
    if (keep) kept.push_back(a);
    const Marked c(200);
    for (const Marked& m : kept) EXPECT_TRUE(m.intact());
    EXPECT_TRUE(a.intact() && b.intact() && c.intact());
  }
  // The third kept what was planned; from then on the block comes from the pool.
  expect_planned(arena, 7, 5);
  EXPECT_EQ(arena.stats().pool_blocks, 1);
}

TEST(Arena, BlocksOutliveTheArena) {
  std::optional<Marked> kept;
  {
    Arena arena;
    usual_step(arena);
    const Arena::Step step(arena);
    kept.emplace(1000);
    EXPECT_EQ(arena.stats().pool_blocks, 0);
  }
  std::vector<Marked> others;
  for (int i = 0; i < 10; ++i) others.emplace_back(1500);  // would take the memory, were it free
  EXPECT_TRUE(kept->intact());
  const std::size_t in_use = pool_stats(kCpu).in_use;
  kept.reset();
  EXPECT_EQ(pool_stats(kCpu).in_use, in_use - 1536);
}

TEST(Arena, WeakOwnersHoldTheirPlace) {
  Arena arena;
  usual_step(arena);
  std::weak_ptr<void> weak;
  {
    const Arena::Step step(arena);
    weak = take(1000);
  }
  EXPECT_TRUE(weak.expired());
  usual_step(arena);
  EXPECT_TRUE(weak.expired());
}

TEST(Arena, KindsOfStepsHaveTheirOwnPlans) {
  Arena arena;
  const auto step_of = [&](std::int64_t kind) {
    const Arena::Step step(arena, kind);
    const Marked a(static_cast<std::size_t>(100 * kind)), b(100);
    EXPECT_TRUE(a.intact() && b.intact());
  };
  for (int round = 0; round < 3; ++round)
    for (const std::int64_t kind : {1, 5, 40}) step_of(kind);
  expect_planned(arena, 9, 6);
  EXPECT_EQ(arena.stats().bytes, 4032u + 128u);                    // of the largest
  for (const std::int64_t kind : {2, 3, 5, 40, 1}) step_of(kind);  // the fifth kind drops the first
  expect_planned(arena, 14, 8);
}

TEST(Arena, RestsWhereNoTwoStepsAreAlike) {
  Arena arena;
  for (std::size_t i = 1; i <= 20; ++i) {
    const Arena::Step step(arena);
    const Marked a(100 * i);
    EXPECT_TRUE(a.intact());
  }
  expect_planned(arena, 20, 0);
  for (int i = 0; i < 100; ++i) usual_step(arena);
  EXPECT_GT(arena.stats().planned_steps, 50);
}

TEST(Arena, ReturnsOnAnotherThreadAreSafe) {
  Arena arena;
  for (int i = 0; i < 6; ++i) {
    const Arena::Step step(arena);
    std::optional<Marked> a(1000), b(500);
    if (i == 0)
      a.reset();
    else
      std::thread([&] { a.reset(); }).join();
    const Marked c(900);
    EXPECT_TRUE(b->intact() && c.intact());
  }
  expect_planned(arena, 6, 5);
}

TEST(Arena, TasksOfSeveralThreadsTakeFromThePool) {
  const int threads = num_threads();
  set_num_threads(4);
  Arena arena;
  for (int i = 0; i < 3; ++i) {
    const Arena::Step step(arena);
    const Marked a(100);
    std::atomic<int> intact = 0;
    parallel_for(16, [&](std::int64_t task) {
      const auto block = take(static_cast<std::size_t>(64 + task));
      std::memset(block.get(), static_cast<int>(task), 64);
      intact += static_cast<const unsigned char*>(block.get())[63] == task;
    });
    EXPECT_EQ(intact, 16);
    EXPECT_TRUE(a.intact());
    EXPECT_EQ(arena.stats().blocks, 1);
  }
  expect_planned(arena, 3, 2);
  set_num_threads(threads);
}

TEST(Arena, StepsOfTwoArenasNestAndThoseOfOneDoNot) {
  Arena outer, inner;
  for (int i = 0; i < 3; ++i) {
    const Arena::Step step(outer);
    auto a = std::make_unique<Marked>(1000);
    {
      const Arena::Step nested(inner);
      const Marked b(1000);
      EXPECT_TRUE(a->intact() && b.intact());
      a.reset();  // an outer block, during the inner step
    }
    const Marked c(1000);
    EXPECT_TRUE(c.intact());
    expect_error([&] { const Arena::Step again(outer); }, "a step begins in a step");
  }
  expect_planned(outer, 3, 2);
  expect_planned(inner, 3, 2);
  EXPECT_EQ(outer.stats().bytes, 1024u);
}

// Steps that mostly do the same, with a block more, another size or a later return here and there,
// and blocks that stay for a few steps: every block keeps its bytes.
TEST(Arena, NoBlockIsEverOverwritten) {
  Arena arena;
  std::vector<std::pair<std::int64_t, Marked>> kept;  // until this step
  for (std::int64_t i = 0; i < 400; ++i) {
    const Arena::Step step(arena, i % 7 == 0);
    std::vector<std::pair<std::uint32_t, Marked>> out;  // until this moment
    for (std::uint32_t moment = 0; moment < 30; ++moment) {
      const Philox4 usual = philox_block({.seed = 1}, moment);
      const Philox4 now = philox_block({.seed = 2, .step = static_cast<std::uint32_t>(i)}, moment);
      const bool odd = now.x % 200 == 0;
      std::erase_if(out, [&](const auto& block) {
        EXPECT_TRUE(block.second.intact()) << "step " << i;
        return block.first <= moment;
      });
      const Marked block(64 + usual.y % 2000 + (odd && now.y % 3 == 0 ? 64 : 0));
      if (odd && now.y % 3 == 1) kept.emplace_back(i + now.z % 5, block);
      out.emplace_back(moment + 1 + usual.z % 8 + (odd ? now.z % 8 : 0), block);
    }
    std::erase_if(kept, [&](const auto& block) {
      EXPECT_TRUE(block.second.intact()) << "step " << i;
      return block.first <= i;
    });
  }
  EXPECT_GT(arena.stats().planned_steps, 100);
  EXPECT_LT(arena.stats().planned_steps, 399);
}

}  // namespace
}  // namespace limbeck::testing
