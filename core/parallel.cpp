// SPDX-License-Identifier: Apache-2.0
#include <limbeck/core/parallel.h>

#include <sched.h>

#include <atomic>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include <limbeck/core/arena.h>
#include <limbeck/core/error.h>

namespace limbeck {
namespace {

using TaskFn = void (*)(void*, std::int64_t);

constexpr std::uint64_t kIndexBits = 32;
constexpr std::uint64_t kIndexMask = (std::uint64_t{1} << kIndexBits) - 1;
constexpr int kSpins = 4000;  // about 100 us: longer than the gap between two kernels of a step

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

thread_local bool inside_pool = false;

// Tasks are claimed from one ticket word: (generation << 32) | next index. A claim is a
// compare-exchange, so a worker that read a finished job's fields can never claim from it, and the
// caller waits only for tasks already claimed: a descheduled idle worker delays nobody.
class ThreadPool {
 public:
  explicit ThreadPool(int threads) {
    for (int i = 1; i < threads; ++i) workers_.emplace_back([this] { work(); });
  }

  ~ThreadPool() {
    stop_ = true;
    wake();
    for (auto& worker : workers_) worker.join();
  }

  void run(std::int64_t tasks, TaskFn fn, void* context) {
    std::lock_guard lock(run_mutex_);
    const std::uint64_t generation = (ticket_.load() >> kIndexBits) + 1;
    ticket_ = generation << kIndexBits | kIndexMask;  // closed while the fields change
    fn_ = fn;
    context_ = context;
    tasks_ = tasks;
    done_ = 0;
    error_ = nullptr;
    ticket_ = generation << kIndexBits;
    wake();
    const Arena::Pause outside_of_steps;
    inside_pool = true;
    while (claim_and_run()) {
    }
    inside_pool = false;
    while (done_.load() != tasks) pause();
    if (error_) std::rethrow_exception(error_);
  }

 private:
  bool claim_and_run() {
    std::uint64_t ticket = ticket_.load();
    const TaskFn fn = fn_;
    void* context = context_;
    const std::int64_t tasks = tasks_;
    do {
      if (static_cast<std::int64_t>(ticket & kIndexMask) >= tasks) return false;
      // A changed ticket may belong to a new job: start over with its fields.
      if (ticket_.compare_exchange_strong(ticket, ticket + 1)) break;
      return true;
    } while (true);
    try {
      fn(context, static_cast<std::int64_t>(ticket & kIndexMask));
    } catch (...) {
      std::lock_guard lock(error_mutex_);
      if (!error_) error_ = std::current_exception();
    }
    ++done_;
    return true;
  }

  void wake() {
    ++epoch_;
    epoch_.notify_all();
  }

  void work() {
    inside_pool = true;
    std::uint32_t seen = 0;
    while (!stop_) {
      while (claim_and_run()) {
      }
      for (int spin = 0; spin < kSpins && epoch_.load() == seen; ++spin) pause();
      epoch_.wait(seen);
      seen = epoch_.load();
    }
  }

  std::mutex run_mutex_;
  std::mutex error_mutex_;
  std::atomic<std::uint64_t> ticket_{kIndexMask};
  std::atomic<TaskFn> fn_{nullptr};
  std::atomic<void*> context_{nullptr};
  std::atomic<std::int64_t> tasks_{0};
  std::atomic<std::int64_t> done_{0};
  std::atomic<std::uint32_t> epoch_{0};
  std::atomic<bool> stop_{false};
  std::exception_ptr error_;
  std::vector<std::thread> workers_;
};

int default_threads() {
  if (const char* env = std::getenv("LIMBECK_THREADS")) {
    int n = 0;
    const auto result = std::from_chars(env, env + std::strlen(env), n);
    if (result.ec == std::errc() && n >= 1 && n <= 256) return n;
  }
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
  return 1;
}

std::mutex pool_mutex;
std::atomic<int> pool_threads{0};
ThreadPool* pool = nullptr;  // joined by set_num_threads, otherwise lives until the process ends

ThreadPool& get_pool() {
  std::lock_guard lock(pool_mutex);
  if (pool == nullptr) pool = new ThreadPool(num_threads());
  return *pool;
}

}  // namespace

int num_threads() {
  if (pool_threads == 0) pool_threads = default_threads();
  return pool_threads;
}

void set_num_threads(int n) {
  LIMBECK_CHECK(n >= 1 && n <= 256, "set_num_threads: ", n, "; expected 1 to 256");
  std::lock_guard lock(pool_mutex);
  if (n == pool_threads) return;
  delete pool;
  pool = nullptr;
  pool_threads = n;
}

namespace detail {

void run_tasks(std::int64_t tasks, TaskFn fn, void* context) {
  if (tasks > 1 && !inside_pool && num_threads() > 1) {
    get_pool().run(tasks, fn, context);
    return;
  }
  for (std::int64_t i = 0; i < tasks; ++i) fn(context, i);
}

}  // namespace detail

}  // namespace limbeck
