// SPDX-License-Identifier: Apache-2.0
#include <limbeck/distill/checkpoint.h>

#include <charconv>

#include <limbeck/nn/weights.h>

namespace limbeck {
namespace {

const std::string kModel = "model.", kOptimizer = "optimizer.", kEma = "ema.";

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

}  // namespace

void save_checkpoint(const std::string& path, Module& model, const Optimizer& optimizer,
                     const TrainState& state, const Ema* ema) {
  SafetensorsFile file;
  for (const auto& [name, tensor] : export_weights(model).tensors)
    file.tensors.emplace_back(kModel + name, tensor);
  for (const auto& [name, tensor] : optimizer.state())
    file.tensors.emplace_back(kOptimizer + name, tensor.to(Device::cpu()));
  if (ema)
    for (const auto& [name, tensor] : ema->state())
      file.tensors.emplace_back(kEma + name, tensor.to(Device::cpu()));
  file.metadata = {{"step", std::to_string(state.step)},
                   {"total_steps", std::to_string(state.total_steps)},
                   {"seed", std::to_string(state.seed)}};
  write_safetensors(path, file);
}

TrainState load_checkpoint(const std::string& path, Module& model, Optimizer& optimizer,
                           const TrainState& expected, Ema* ema) {
  const SafetensorsFile file = read_safetensors(path);
  const TrainState state = {read_number<std::int64_t>(file, path, "step"),
                            read_number<std::int64_t>(file, path, "total_steps"),
                            read_number<std::uint64_t>(file, path, "seed")};
  LIMBECK_CHECK(state.seed == expected.seed && state.total_steps == expected.total_steps, path,
                ": is of a run with seed ", state.seed, " and ", state.total_steps,
                " steps; this one has seed ", expected.seed, " and ", expected.total_steps);
  const NamedTensors averages = with_prefix(file, kEma);
  LIMBECK_CHECK(averages.empty() == (ema == nullptr), path, averages.empty() ? ": has no" : ": has",
                " averages of the weights; this run has ", ema ? "them" : "none");
  if (ema) ema->load_state(averages);
  optimizer.load_state(with_prefix(file, kOptimizer));
  import_weights(model, {with_prefix(file, kModel), {}});
  return state;
}

}  // namespace limbeck
