// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/profile.h>

#include <algorithm>
#include <cstring>

#include <limbeck/tools/model_table.h>

namespace limbeck {
namespace {

constexpr const char* kBackward = " backward";
constexpr const char* kAnd = " & ";  ///< between layers that are joined

/// The row a range belongs to; empty: to the one around it.
std::string row_of(const TraceEvent& event) {
  switch (event.kind) {
    case TraceKind::batch:
      return event.name;
    case TraceKind::node:
    case TraceKind::loss:
      return event.place;
    case TraceKind::gradient:
      return (event.place.empty() ? event.name : event.place) + kBackward;
    case TraceKind::update:
      return event.name + " update";
    default:
      return {};
  }
}

/// Sums of ranges by row.
class Sums {
 public:
  void add(const std::string& name, TraceKind kind, double seconds, double launches) {
    const auto [found, is_new] = places_.try_emplace(name, rows_.size());
    if (is_new) rows_.push_back({.name = name, .kind = kind});
    rows_[found->second].seconds += seconds;
    rows_[found->second].launches += launches;
  }
  std::vector<ProfileRow> take() { return std::move(rows_); }

 private:
  std::map<std::string, std::size_t> places_;
  std::vector<ProfileRow> rows_;
};

/// A traced range on its way into the rows.
struct Seen {
  /// The step it is in, or the plain range inside a step whose tasks it belongs to; none: neither.
  std::size_t group = TraceEvent::kNoParent;
  std::string row = {};  ///< empty: the rest of the step
  TraceKind kind = TraceKind::step;
  double seconds = 0, launches = 0;  ///< less the ranges inside it on its thread
};

/// The plain range of another thread that was open when a thread's outermost range began.
std::size_t group_of_task(const std::vector<TraceEvent>& events, const std::vector<Seen>& seen,
                          std::size_t task) {
  for (std::size_t i = task; i-- > 0;)
    if (seen[i].group == i && events[i].kind == TraceKind::range &&
        events[i].begin <= events[task].begin && events[task].begin <= events[i].end)
      return i;
  return TraceEvent::kNoParent;
}

std::vector<Seen> look_at(const std::vector<TraceEvent>& events) {
  std::vector<Seen> seen(events.size());
  for (std::size_t i = 0; i < events.size(); ++i) {
    const TraceEvent& event = events[i];
    Seen& own = seen[i];
    const bool outermost = event.parent == TraceEvent::kNoParent;
    own.seconds = event.seconds();
    own.launches = static_cast<double>(event.launches);
    if (event.kind == TraceKind::step)
      own.group = i;
    else if (outermost)
      own.group = group_of_task(events, seen, i);
    else
      own.group = seen[event.parent].group;
    if (own.group == TraceEvent::kNoParent) continue;
    own.row = row_of(event);
    own.kind = event.kind;
    if (outermost) continue;
    Seen& around = seen[event.parent];
    around.seconds -= own.seconds;
    around.launches -= own.launches;
    if (event.kind == TraceKind::range) own.group = i;
    if (own.row.empty() && event.kind != TraceKind::step) {
      own.row = around.row;
      own.kind = around.kind;
    }
  }
  return seen;
}

/// What the ranges of each group's tasks are multiplied by, so that all together they take as long
/// as the group did; 0 for a group without tasks.
std::vector<double> task_scales(const std::vector<TraceEvent>& events,
                                const std::vector<Seen>& seen) {
  std::vector<double> sums(events.size());
  for (std::size_t i = 0; i < events.size(); ++i)
    if (seen[i].group != TraceEvent::kNoParent && seen[i].group != i)
      sums[seen[i].group] += seen[i].seconds;
  for (std::size_t i = 0; i < events.size(); ++i)
    if (sums[i] > 0) sums[i] = events[i].seconds() / sums[i];
  return sums;
}

Work operator+(Work a, const Work& b) {
  a.bytes += b.bytes;
  a.flops += b.flops;
  return a;
}

bool is_table(const std::string& type) {
  return type == "embedding" || type == "position_embedding";
}

constexpr std::size_t kLayersOfOneOp = 3;  // at most: a norm, an addition and a relu

/// Forward and backward of one node.
struct Passes {
  Work forward, backward;
};

Passes passes_of(const LayerCost& cost, const std::string& type, double rows, DType dtype) {
  const auto size = static_cast<double>(dtype_size(dtype)) / 4;
  const double in = size * rows * static_cast<double>(cost.input_bytes);
  const double out = size * rows * static_cast<double>(cost.activation_bytes);
  const double weights = is_table(type) ? out : 4 * size * static_cast<double>(cost.parameters);
  const double flops = rows * static_cast<double>(cost.flops);
  const double gradients = cost.reads_input ? 1 : 2;  // of the weights; and of what was read
  return {
      {.bytes = in + weights + out, .flops = flops, .product = dtype},
      {.bytes = out + gradients * (in + weights), .flops = gradients * flops, .product = dtype}};
}

/// Of a row, or of all layers that one names: "student/fc1 & teacher/fc1".
Work work_of(const std::string& row, const Works& works) {
  const bool backward = row.ends_with(kBackward);
  std::string names = backward ? row.substr(0, row.size() - std::strlen(kBackward)) : row;
  Work sum;
  while (!names.empty()) {
    const std::size_t end = std::min(names.find(kAnd), names.size());
    const auto found = works.find(names.substr(0, end) + (backward ? kBackward : ""));
    if (found != works.end()) {
      sum = sum + found->second;
      sum.product = found->second.product;
    }
    names.erase(0, end == names.size() ? end : end + std::strlen(kAnd));
  }
  return sum;
}

}  // namespace

StepProfile profile_steps(const std::vector<TraceEvent>& events) {
  StepProfile profile;
  const std::vector<Seen> seen = look_at(events);
  const std::vector<double> scales = task_scales(events, seen);
  Sums sums;
  ProfileRow rest = {.name = "the rest of the step", .kind = TraceKind::step};
  for (std::size_t i = 0; i < events.size(); ++i) {
    const auto& [group, row, kind, own_seconds, launches] = seen[i];
    if (group == TraceEvent::kNoParent) continue;
    double seconds = own_seconds;
    if (events[group].kind == TraceKind::range)
      seconds = group != i ? scales[group] * own_seconds : scales[i] > 0 ? 0 : own_seconds;
    if (events[i].kind == TraceKind::step) {
      ++profile.steps;
      profile.seconds += events[i].seconds();
      profile.launches += static_cast<double>(events[i].launches);
    }
    if (row.empty()) {
      rest.seconds += seconds;
      rest.launches += launches;
    } else {
      sums.add(row, kind, seconds, launches);
    }
  }
  if (profile.steps == 0) return profile;
  profile.rows = sums.take();
  profile.rows.push_back(rest);
  const auto steps = static_cast<double>(profile.steps);
  for (ProfileRow& r : profile.rows) {
    r.share = profile.seconds > 0 ? r.seconds / profile.seconds : 0;
    r.seconds /= steps;
    r.launches /= steps;
  }
  profile.seconds /= steps;
  profile.launches /= steps;
  return profile;
}

Works works_of(const std::string& participant, const ModelSpec& spec, std::int64_t rows,
               DType dtype, bool learns) {
  Works works;
  const std::vector<LayerCost> costs = layer_costs(spec);
  const auto count = static_cast<double>(rows);
  const auto put = [&](const std::string& node, const Passes& passes) {
    works[participant + "/" + node] = passes.forward;
    if (learns) works[participant + "/" + node + kBackward] = passes.backward;
  };
  for (std::size_t i = 0; i < costs.size(); ++i) {
    Passes all = passes_of(costs[i], spec.layers[i].type, count, dtype);
    std::string name = costs[i].name;
    put(name, all);
    for (std::size_t k = i + 1; k < costs.size() && k < i + kLayersOfOneOp; ++k) {
      const Passes next = passes_of(costs[k], spec.layers[k].type, count, dtype);
      // Written by the one, read by the other; and the gradient the other way.
      const double between = 2 * count * static_cast<double>(costs[k - 1].activation_bytes) *
                             static_cast<double>(dtype_size(dtype)) / 4;
      all = {all.forward + next.forward, all.backward + next.backward};
      all.forward.bytes -= between;
      all.backward.bytes -= between;
      name += "+" + costs[k].name;
      put(name, all);
    }
  }
  return works;
}

void add_works(StepProfile& profile, const Works& works, const Ceilings& ceilings) {
  for (ProfileRow& row : profile.rows) {
    row.work = work_of(row.name, works);
    row.roofline = roofline(row.work, row.work.bytes, ceilings);
  }
}

}  // namespace limbeck
