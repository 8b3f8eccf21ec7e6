// SPDX-License-Identifier: Apache-2.0
#include <limbeck/distill/checkpoint.h>

#include <charconv>

#include <limbeck/nn/weights.h>

namespace limbeck {
namespace {

const std::string kModel = "model.", kOptimizer = "optimizer.", kEma = "ema.",
                  kAdapter = "adapter.", kAdapterOptimizer = "adapter_optimizer.", kRun = "run.";

std::string prefix_of(const Learner& learner) {
  const std::string& name = learner.participant().name;
  return name.empty() ? "" : name + ".";
}

template <class Int>
Int read_number(const SafetensorsFile& file, const std::string& path, const std::string& key) {
  const auto found = file.metadata.find(key);
  if (found == file.metadata.end())
    throw IoError(detail::concat(path, ": has no \"", key, "\"; not a checkpoint"));
  Int value = 0;
  const std::string& text = found->second;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size())
    throw IoError(detail::concat(path, ": \"", key, "\" is \"", text, "\"; expected a number"));
  return value;
}

/// The tensors whose name starts with `prefix`, without it.
NamedTensors with_prefix(const SafetensorsFile& file, const std::string& prefix) {
  NamedTensors list;
  for (const auto& [name, tensor] : file.tensors)
    if (name.starts_with(prefix)) list.emplace_back(name.substr(prefix.size()), tensor);
  return list;
}

void append(SafetensorsFile& file, const std::string& prefix, const NamedTensors& tensors) {
  for (const auto& [name, tensor] : tensors)
    file.tensors.emplace_back(prefix + name, tensor.to(Device::cpu()));
}

NamedTensors adapter_tensors(const Learner& learner) {
  NamedTensors list;
  for (const NamedParameter& p : learner.adapters()) list.emplace_back(p.name, p.value.value());
  return list;
}

void append(SafetensorsFile& file, Learner& learner) {
  const std::string prefix = prefix_of(learner);
  append(file, prefix + kModel, export_weights(*learner.participant().model).tensors);
  append(file, prefix + kOptimizer, learner.optimizer().state());
  if (learner.ema()) append(file, prefix + kEma, learner.ema()->state());
  append(file, prefix + kAdapter, adapter_tensors(learner));
  if (learner.adapter_optimizer())
    append(file, prefix + kAdapterOptimizer, learner.adapter_optimizer()->state());
}

void put_back(const SafetensorsFile& file, const std::string& path, Learner& learner) {
  const std::string prefix = prefix_of(learner);
  const NamedTensors averages = with_prefix(file, prefix + kEma);
  LIMBECK_CHECK(averages.empty() == (learner.ema() == nullptr), path,
                averages.empty() ? ": has no" : ": has", " averages of the weights; this run has ",
                learner.ema() ? "them" : "none");
  NamedTensors adapters = adapter_tensors(learner);
  copy_named(adapters, with_prefix(file, prefix + kAdapter), path + ": adapters do not fit");
  if (learner.adapter_optimizer())
    learner.adapter_optimizer()->load_state(with_prefix(file, prefix + kAdapterOptimizer));
  if (learner.ema()) learner.ema()->load_state(averages);
  learner.optimizer().load_state(with_prefix(file, prefix + kOptimizer));
  import_weights(*learner.participant().model, {with_prefix(file, prefix + kModel), {}});
}

}  // namespace

void save_checkpoint(const std::string& path, const CheckpointParts& parts,
                     const TrainState& state) {
  SafetensorsFile file;
  for (Learner* learner : parts.learners) append(file, *learner);
  append(file, kRun, parts.tensors);
  file.metadata = {{"step", std::to_string(state.step)},
                   {"total_steps", std::to_string(state.total_steps)},
                   {"seed", std::to_string(state.seed)}};
  write_safetensors(path, file);
}

TrainState load_checkpoint(const std::string& path, CheckpointParts& parts,
                           const TrainState& expected) {
  const SafetensorsFile file = read_safetensors(path);
  const TrainState state = {read_number<std::int64_t>(file, path, "step"),
                            read_number<std::int64_t>(file, path, "total_steps"),
                            read_number<std::uint64_t>(file, path, "seed")};
  LIMBECK_CHECK(state.seed == expected.seed && state.total_steps == expected.total_steps, path,
                ": is of a run with seed ", state.seed, " and ", state.total_steps,
                " steps; this one has seed ", expected.seed, " and ", expected.total_steps);
  copy_named(parts.tensors, with_prefix(file, kRun), path + ": statistics do not fit");
  for (Learner* learner : parts.learners) put_back(file, path, *learner);
  return state;
}

}  // namespace limbeck
