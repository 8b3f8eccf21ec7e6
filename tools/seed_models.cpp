// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/seed_models.h>

#include <limbeck/distill/evaluate.h>
#include <limbeck/nn/weights.h>

namespace limbeck {

RunPlace::RunPlace(const Experiment& experiment_, const RunData& data_, const RunFolder* folder_,
                   Device device_)
    : experiment(experiment_), data(data_), folder(folder_), device(device_) {
  if (data.text) return;
  train = data.images.train.on(device);
  test = data.images.test.on(device);
}

ModelSpec RunPlace::with_input(ModelSpec model) const {
  model.input = data.input();
  return model;
}

Tensor RunPlace::logits_of(Module& model, const Dataset& images) const {
  return predict(model, *images.source(device, experiment.data.input));
}

std::unique_ptr<BatchSource> RunPlace::samples(const Augment& augment, std::uint64_t seed) const {
  if (data.text) return data.text->train.source(device);
  return train.source(device, experiment.data.input, augment, seed);
}

void SeedModels::load(Module& model, const std::string& name) const {
  try {
    import_weights(model, read_safetensors(place_.folder->job(seed_, name).weights()));
  } catch (const std::invalid_argument& e) {
    throw std::invalid_argument(name + ".dtype: " + e.what());
  }
}

SeedModels::Entry& SeedModels::find(const std::string& name) {
  if (const auto found = entries_.find(name); found != entries_.end()) return found->second;
  const DType dtype = name == kTeacherName ? place_.experiment.teacher->dtype : DType::f32;
  Entry entry;
  entry.model = build_model(place_.with_input(learner_model(place_.experiment, name)), 0, dtype,
                            place_.device);
  if (place_.folder) load(*entry.model, name);
  return entries_.emplace(name, std::move(entry)).first->second;
}

const Tensor& SeedModels::test_logits(const std::string& name) {
  Entry& entry = find(name);
  if (!entry.test_logits.defined()) entry.test_logits = place_.logits_of(*entry.model, place_.test);
  return entry.test_logits;
}

const Tensor& SeedModels::train_logits(const std::string& name) {
  Entry& entry = find(name);
  if (!entry.train_logits.defined())
    entry.train_logits = place_.logits_of(*entry.model, place_.train);
  return entry.train_logits;
}

}  // namespace limbeck
