// SPDX-License-Identifier: Apache-2.0
#include <limbeck/distill/step_graph.h>

#include <algorithm>
#include <array>
#include <utility>

#include <limbeck/core/error.h>
#include <limbeck/core/pool.h>
#include <limbeck/core/trace.h>

namespace limbeck {
namespace {

constexpr std::int64_t kTableSteps = 1024;  // written at once

std::array<Tensor*, 5> tensors_of(Batch& batch) {
  return {&batch.x, &batch.labels, &batch.samples, &batch.lengths, &batch.other_labels};
}

Batch copy_of(Batch batch) {
  for (Tensor* t : tensors_of(batch))
    if (t->defined()) *t = t->clone();
  return batch;
}

void copy_to(Batch& fixed, Batch batch) {
  const auto to = tensors_of(fixed), from = tensors_of(batch);
  for (std::size_t i = 0; i < to.size(); ++i)
    if (to[i]->defined()) to[i]->copy_from(*from[i]);
}

/// All that is known of a batch on the host.
void append_kind(std::vector<double>& key, Batch batch) {
  key.push_back(batch.targets);
  key.push_back(batch.label_weight);
  for (const Tensor* t : tensors_of(batch)) {
    key.push_back(t->defined() ? static_cast<double>(t->dtype()) : -1);
    if (!t->defined()) continue;
    key.push_back(t->rank());
    for (const std::int64_t extent : t->shape()) key.push_back(static_cast<double>(extent));
  }
}

std::vector<std::int64_t> counted(const std::vector<Tensor>& counters) {
  std::vector<std::int64_t> counts;
  for (const Tensor& t : counters) counts.push_back(*t.data<std::int64_t>());
  return counts;
}

}  // namespace

StepGraph::StepGraph(BatchSource& data, std::int64_t batch, std::vector<Tensor> counters,
                     bool capture)
    : data_(data),
      batch_(batch),
      counters_(std::move(counters)),
      capture_(capture && data.device().is_cuda()) {}

void StepGraph::begin_epoch(std::vector<std::int32_t> order, std::uint32_t epoch) {
  if (capture_) order_ = order;
  if (table_) table_->clear();  // its samples were of the order before
  data_.begin_epoch(std::move(order), epoch);
}

void StepGraph::run(const Step& step, const StepWork& work) {
  const auto fetch = [&] {
    const TraceScope scope("batch", TraceKind::batch);
    return data_.fetch(step.first, step.last, static_cast<std::uint32_t>(step.number));
  };
  Batch batch;
  if (!capture_ || !data_.gathers()) batch = fetch();
  if (capture_) {
    Kind* kind = seen(key_of(step, batch, work));
    if (kind && !kind->graph) record(*kind, step, batch, work);
    if (kind && kind->graph) return launch(*kind, step, batch, work);
    if (!batch.x.defined()) batch = fetch();
  }
  const std::vector<double> numbers = work.numbers(step.number);
  work.run(batch, std::vector<StepNumber>(numbers.begin(), numbers.end()));
}

StepGraph::Key StepGraph::key_of(const Step& step, const Batch& batch, const StepWork& work) const {
  Key key = work.key();
  key.push_back(static_cast<double>(step.last - step.first));
  if (!data_.gathers()) append_kind(key, batch);
  return key;
}

/// The kind with this key, from now on the one used last; null where it is new, or was forgotten.
StepGraph::Kind* StepGraph::seen(const Key& key) {
  const auto found =
      std::find_if(kinds_.begin(), kinds_.end(), [&](const Kind& kind) { return kind.key == key; });
  if (found != kinds_.end()) {
    std::rotate(found, found + 1, kinds_.end());
    return &kinds_.back();
  }
  if (kinds_.size() == kMaxGraphs) kinds_.erase(kinds_.begin());
  kinds_.push_back({key});
  return nullptr;
}

/// The table is made by the first step that needs one, for the rest of the epoch or a part of it.
void StepGraph::write_table(const Step& step, const StepWork& work) {
  const bool gathers = data_.gathers();
  const auto places = static_cast<std::int64_t>(order_.size());
  std::vector<StepTable::Row> rows;
  for (std::int64_t k = 0; k < kTableSteps && step.first + k * batch_ < places; ++k) {
    StepTable::Row row = {work.numbers(step.number + k), {}};
    const auto first = order_.begin() + (step.first + k * batch_);
    if (gathers)
      row.samples.assign(first, first + std::min<std::int64_t>(batch_, order_.end() - first));
    rows.push_back(std::move(row));
  }
  const auto samples = static_cast<std::size_t>(gathers ? batch_ : 0);
  if (!table_) table_.emplace(rows[0].numbers.size(), samples, data_.device());
  table_->write(step.number, rows);
}

void StepGraph::record(Kind& kind, const Step& step, const Batch& batch, const StepWork& work) {
  if (!table_ || !table_->holds(step.number)) write_table(step, work);
  kind.fixed = copy_of(batch);
  pool_release_cache(data_.device());  // the graph has memory of its own
  const std::vector<std::int64_t> before = counted(counters_);
  try {
    kind.graph = std::make_unique<Graph>(
        data_.device(), [&] { work_as_recorded(kind.fixed, step.last - step.first, work); });
  } catch (const CudaError&) {
    capture_ = false;
  }
  kind.counts = counted(counters_);
  for (std::size_t i = 0; i < kind.counts.size(); ++i) {
    kind.counts[i] -= before[i];
    *counters_[i].data<std::int64_t>() = before[i];
  }
}

/// Queues the work of a step as it is recorded: all that changes is read on the device.
void StepGraph::work_as_recorded(const Batch& fixed, std::int64_t rows, const StepWork& work) {
  const std::vector<StepNumber> numbers = table_->numbers();
  if (data_.gathers())
    work.run(data_.gather(table_->samples().rows(0, rows), numbers.at(0)), numbers);
  else
    work.run(fixed, numbers);
}

void StepGraph::launch(Kind& kind, const Step& step, const Batch& batch, const StepWork& work) {
  if (!table_->holds(step.number)) write_table(step, work);
  table_->select(step.number);
  copy_to(kind.fixed, batch);
  kind.graph->launch();
  for (std::size_t i = 0; i < kind.counts.size(); ++i)
    *counters_[i].data<std::int64_t>() += kind.counts[i];
  ++launches_;
}

}  // namespace limbeck
