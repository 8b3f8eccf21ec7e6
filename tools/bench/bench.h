// SPDX-License-Identifier: Apache-2.0
// Times calls and sets them against what the machine can do.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <ostream>
#include <string>
#include <vector>

#include <limbeck/core/tensor.h>
#include <limbeck/tools/bench/ceilings.h>

namespace limbeck {

/// What one call must read, write and compute at least, from its contract; 0 is left out of the
/// comparison.
struct Work {
  double bytes = 0;
  double flops = 0;
};

struct BenchResult {
  std::string name;   ///< "kd_loss/forward_with_grad"
  std::string shape;  ///< "N=4096 V=1000 f32"
  double median = 0;  ///< seconds per call
  double min = 0;
  std::int64_t samples = 0;
  Work work;
};

class Bench {
 public:
  /// Each time() takes about `seconds`. Prints the machine and its ceilings to `out`, with a
  /// warning when assertions are on.
  Bench(Device device, const Ceilings& ceilings, double seconds, std::ostream& out);

  Device device() const { return device_; }
  const Ceilings& ceilings() const { return ceilings_; }
  const std::vector<BenchResult>& results() const { return results_; }

  /// Times call(slot) on slots made by make(), and prints one line. The slots are used in turn and
  /// are so many that, when work.bytes says what a call touches, each finds its data outside the
  /// caches. make's tensors should come from the functions below.
  template <class Make, class Call>
  void time(const std::string& name, const std::string& shape, const Work& work, Make&& make,
            Call&& call) {
    std::vector<decltype(make())> slots;
    for (std::int64_t i = slot_count(work); i > 0; --i) slots.push_back(make());
    measure(name, shape, work, [&, next = std::size_t{0}]() mutable {
      call(slots[next]);
      next = (next + 1) % slots.size();
    });
  }

  /// Uniform in [-scale, scale), different at every call.
  Tensor random(const Shape& shape, double scale = 1, DType dtype = DType::f32);
  /// i32, uniform in [0, below), different at every call.
  Tensor random_index(const Shape& shape, std::int64_t below);
  Tensor zeros(const Shape& shape, DType dtype = DType::f32) const {
    return Tensor::zeros(shape, dtype, device_);
  }

 private:
  std::int64_t slot_count(const Work& work) const;
  void measure(const std::string& name, const std::string& shape, const Work& work,
               const std::function<void()>& call);
  void print(const BenchResult& result) const;

  Device device_;
  Ceilings ceilings_;
  double seconds_;
  std::ostream& out_;
  std::uint32_t draws_ = 0;
  std::vector<BenchResult> results_;
};

/// What limits a call at best, e.g. "81% of bandwidth"; empty when nothing was measured.
std::string share_of_ceiling(const BenchResult& result, const Ceilings& ceilings);

}  // namespace limbeck
