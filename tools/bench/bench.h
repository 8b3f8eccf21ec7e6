// SPDX-License-Identifier: Apache-2.0
// Times calls and sets them against what the machine can do.
#pragma once

#include <cstdint>
#include <functional>
#include <new>
#include <ostream>
#include <string>
#include <vector>

#include <limbeck/core/error.h>
#include <limbeck/core/tensor.h>
#include <limbeck/tools/bench/ceilings.h>

namespace limbeck {

struct BenchResult {
  std::string name;   ///< "kd_loss/forward_with_grad"
  std::string shape;  ///< "N=4096 V=1000 f32"
  double median = 0;  ///< seconds per call
  double min = 0;
  double graph =
      0;  ///< median of short calls on a GPU as nodes of a graph, without the host's part
  std::int64_t samples = 0;
  std::int64_t slots = 0;             ///< sets of tensors that were used in turn
  std::int64_t extra_bytes = 0;       ///< most that the call took from the device's pool
  std::int64_t extra_host_bytes = 0;  ///< on a GPU: from the CPU's pool
  Work work{};
  Roofline roofline{};

  /// What part of the time the least possible time is; 0 when that is not known.
  double share() const { return roofline.seconds / (graph > 0 ? graph : median); }
};

struct BenchSettings {
  double seconds = 0.5;  ///< that each time() takes, about
  bool warm = false;     ///< one set of tensors, which stays in the caches that it fits in
};

class Bench {
 public:
  /// Prints to `out` what is measured where, with a warning when this build's times mean nothing.
  Bench(Device device, const Ceilings& ceilings, const BenchSettings& settings, std::ostream& out);

  Device device() const { return device_; }
  const Ceilings& ceilings() const { return ceilings_; }
  const std::vector<BenchResult>& results() const { return results_; }
  int refused() const { return refused_; }  ///< calls, for their zeros

  /// Times call(slot) on slots made by make(), and prints one line. The slots are used in turn and
  /// are so many that, when work.bytes says what a call touches, each finds its data outside the
  /// caches. make's inputs come from random() and random_index(); a call for which one of
  /// random()'s is nothing but zeros before or after is refused, as zeros are computed too fast.
  /// What does not fit in memory, or would take the emulated GPU too long, is skipped. The line
  /// says so.
  template <class Make, class Call>
  void time(const std::string& name, const std::string& shape, const Work& work, Make&& make,
            Call&& call) {
    if (skips_large(name, shape, work)) return;
    forget();
    try {
      std::vector<decltype(make())> slots;
      watching_ = true;
      slots.push_back(make());
      watching_ = false;
      const std::int64_t count = slot_count(work);
      while (static_cast<std::int64_t>(slots.size()) < count) slots.push_back(make());
      measure(name, shape, work, count, [&, next = std::size_t{0}]() mutable {
        call(slots[next]);
        next = (next + 1) % slots.size();
      });
    } catch (const std::bad_alloc&) {
      skip(name, shape, "does not fit in memory");
    } catch (const CudaError& error) {
      skip_or_rethrow(name, shape, error);
    }
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
               std::int64_t slots, const std::function<void()>& call);
  bool skips_large(const std::string& name, const std::string& shape, const Work& work);
  void skip(const std::string& name, const std::string& shape, const std::string& why);
  void skip_or_rethrow(const std::string& name, const std::string& shape, const CudaError& error);
  void forget();  ///< what the last time() left
  bool refuses_zeros(const std::string& name, const std::string& shape, const char* when);

  Device device_;
  Ceilings ceilings_;
  BenchSettings settings_;
  std::ostream& out_;
  std::uint32_t draws_ = 0;
  bool watching_ = false;
  std::vector<Tensor> watched_;  // random()'s of the first slot
  std::vector<BenchResult> results_;
  int refused_ = 0;
};

}  // namespace limbeck
