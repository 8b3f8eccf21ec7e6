// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/profile_run.h>

#include <algorithm>
#include <chrono>
#include <numeric>

#include <limbeck/core/pool.h>

namespace limbeck {
namespace {

constexpr std::int64_t kWarmUp = 3;  ///< of what is traced: first calls set libraries up

/// Ends a run at a report, from which it can go on.
struct Paused {};

/// How steps are run where not as training runs them: without what hides their blocks from the
/// pool, and their ranges from a tracer.
struct Way {
  bool arena = true, capture = true;
};

/// A run of the arm that may go on for as long as is asked for.
class PausedRun {
 public:
  /// It stops every `steps` steps, `times` times at least.
  PausedRun(const ArmSetup& setup, const RunPlace& place, std::int64_t steps, std::int64_t times,
            Way way = {})
      : data_(place.samples(setup.plan.participants[0].recipe.augment, setup.options.seed)),
        trainer_(participants(setup, steps * times), setup.plan.lessons, *data_,
                 options(setup, steps, way)) {}

  /// The next `steps` steps, done when it returns.
  void go_on() {
    try {
      trainer_.run([](const Progress&) { throw Paused(); });
    } catch (const Paused&) {
    }
  }
  std::int64_t launched_steps() const { return trainer_.launched_steps(); }

 private:
  /// With as many epochs as the steps need.
  std::vector<Participant> participants(const ArmSetup& setup, std::int64_t steps) const {
    std::vector<Participant> list = setup.plan.participants;
    for (Participant& p : list)
      if (p.trainable()) p.recipe.epochs = std::max(p.recipe.epochs, steps + 1);
    return list;
  }
  /// Whole batches alone.
  RunOptions options(const ArmSetup& setup, std::int64_t steps, Way way) const {
    RunOptions options = setup.options;
    options.arena = way.arena;
    options.capture = way.capture;
    options.report_every = steps;
    std::vector<std::int32_t>& samples = options.samples;
    if (samples.empty()) {
      samples.resize(static_cast<std::size_t>(data_->size()));
      std::iota(samples.begin(), samples.end(), 0);
    }
    const auto batch = static_cast<std::size_t>(setup.plan.participants[0].recipe.batch);
    if (samples.size() > batch) samples.resize(samples.size() / batch * batch);
    return options;
  }

  std::unique_ptr<BatchSource> data_;
  Trainer trainer_;
};

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// Of a step whose every block is the pool's.
void measure_memory(const ArmSetup& setup, const RunPlace& place, WholeStep& step) {
  PausedRun run(setup, place, 1, 3, {.arena = false, .capture = false});
  run.go_on();
  run.go_on();
  pool_reset_peak(place.device);
  step.resident_bytes = pool_stats(place.device).in_use;
  run.go_on();
  step.activation_bytes = pool_stats(place.device).peak - step.resident_bytes;
}

}  // namespace

WholeStep run_steps(const ArmSetup& setup, const RunPlace& place, std::int64_t steps) {
  WholeStep step;
  measure_memory(setup, place, step);
  PausedRun run(setup, place, steps, 2);
  run.go_on();
  const std::int64_t launched = run.launched_steps();
  const Tracer tracer(place.device, {.only = {TraceKind::step}});
  const double start = now();
  run.go_on();
  const auto count = static_cast<double>(steps);
  step.seconds = (now() - start) / count;
  step.as_graph = run.launched_steps() - launched;
  for (const TraceEvent& event : tracer.events()) {
    step.host_seconds += event.seconds() / count;
    step.launches += static_cast<double>(event.launches) / count;
  }
  return step;
}

std::vector<TraceEvent> trace_steps(const ArmSetup& setup, const RunPlace& place,
                                    std::int64_t steps) {
  PausedRun run(setup, place, 1, kWarmUp + steps, {.capture = false});
  for (std::int64_t i = 0; i < kWarmUp; ++i) run.go_on();
  const Tracer tracer(place.device, {.wait = true});
  for (std::int64_t i = 0; i < steps; ++i) run.go_on();
  return tracer.events();
}

}  // namespace limbeck
