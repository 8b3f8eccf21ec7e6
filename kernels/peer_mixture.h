// SPDX-License-Identifier: Apache-2.0
// Internal: the mixture of peers' logits whose cross-entropy with the label is least.
#pragma once

#include <limbeck/core/host_device.h>
#include <limbeck/kernels/peers.h>

namespace limbeck {

/// Minimises a convex function of weights w_i >= 0 that add up to 1: takes two of them at a time
/// and moves weight from one to the other until the slope is 0, by bisection. Asks for slopes, so
/// that the threads of a row can find them together:
///   for (MixtureSearch<F> search(K); search.asks();) search.tell(slope(search.trial()...));
/// One pair is solved at once (K = 2), more in kRounds turns.
template <class F>
class MixtureSearch {
 public:
  static constexpr int kRounds = 8, kHalvings = 20;

  LIMBECK_HD explicit MixtureSearch(int count) : count_(count) {
    for (int i = 0; i < kMaxPeers; ++i) w_[i] = trial_[i] = i < count ? F(1) / F(count) : F(0);
    if (count > 1) begin_pair();
  }

  LIMBECK_HD bool asks() const { return count_ > 1 && round_ < (count_ == 2 ? 1 : kRounds); }
  /// The weights (kMaxPeers) at which the slope is asked for, of the way that gives peer first()
  /// what peer second() loses.
  LIMBECK_HD const F* trial() const { return trial_; }
  LIMBECK_HD int first() const { return first_; }
  LIMBECK_HD int second() const { return second_; }
  LIMBECK_HD const F* weights() const { return w_; }

  LIMBECK_HD void tell(F slope) {
    const F at = at_;
    if (step_ == 0) {  // all to the second one: the least there is where it rises from there
      if (slope >= 0) return end_pair(at);
      return ask(high_);
    }
    if (step_ == 1) {
      if (slope <= 0) return end_pair(at);
      return ask((low_ + high_) / 2);
    }
    if (slope > 0)
      high_ = at;
    else
      low_ = at;
    if (step_ == 1 + kHalvings) return end_pair((low_ + high_) / 2);
    ask((low_ + high_) / 2);
  }

 private:
  LIMBECK_HD void begin_pair() {
    low_ = -w_[first_];
    high_ = w_[second_];
    step_ = -1;
    ask(low_);
  }
  LIMBECK_HD void ask(F at) {
    at_ = at;
    ++step_;
    trial_[first_] = w_[first_] + at;
    trial_[second_] = w_[second_] - at;
  }
  LIMBECK_HD void end_pair(F at) {
    w_[first_] = trial_[first_] = w_[first_] + at;
    w_[second_] = trial_[second_] = w_[second_] - at;
    if (++second_ == count_) {
      if (++first_ == count_ - 1) {
        first_ = 0;
        ++round_;
      }
      second_ = first_ + 1;
    }
    if (asks()) begin_pair();
  }

  int count_, first_ = 0, second_ = 1, round_ = 0, step_ = 0;
  F low_ = 0, high_ = 0, at_ = 0;
  F w_[kMaxPeers], trial_[kMaxPeers];
};

}  // namespace limbeck
