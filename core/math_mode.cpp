// SPDX-License-Identifier: Apache-2.0
#include <limbeck/core/math_mode.h>

#include <atomic>

#include <limbeck/core/error.h>

namespace limbeck {
namespace {

std::atomic<MathMode> mode{MathMode::exact};

}  // namespace

MathMode math_mode() { return mode.load(std::memory_order_relaxed); }

void set_math_mode(MathMode wanted) {
  LIMBECK_CHECK(wanted == MathMode::exact || fast_math_available(),
                "set_math_mode: fast in a build without oneDNN; expected exact");
  mode.store(wanted, std::memory_order_relaxed);
}

bool fast_math_available() { return LIMBECK_HAS_ONEDNN; }

}  // namespace limbeck
