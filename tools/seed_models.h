// SPDX-License-Identifier: Apache-2.0
// The models a run has trained with one seed: what later ones learn from and are compared with.
#pragma once

#include <map>
#include <memory>
#include <string>

#include <limbeck/nn/model_graph.h>
#include <limbeck/tools/run_data.h>
#include <limbeck/tools/run_folder.h>

namespace limbeck {

/// Data and machine of a run.
struct RunPlace {
  const Experiment& experiment;
  const RunData& data;
  const RunFolder* folder;  ///< null: the run leaves nothing behind
  Device device;
  Dataset train, test;  ///< images on the device; empty where the data is text

  RunPlace(const Experiment& experiment, const RunData& data, const RunFolder* folder,
           Device device);
  /// A model's description with the data's input.
  ModelSpec with_input(ModelSpec model) const;
  Tensor logits_of(Module& model, const Dataset& images) const;
  /// Training samples on the device.
  std::unique_ptr<BatchSource> samples(const Augment& augment, std::uint64_t seed) const;
};

/// Models by name ("teacher", an arm's), as the run folder has them; the teacher in the dtype that
/// students learn from. Each is loaded when first asked for; without a run folder it has fresh
/// weights.
class SeedModels {
 public:
  SeedModels(const RunPlace& place, std::uint64_t seed) : place_(place), seed_(seed) {}

  ModelGraph& model(const std::string& name) { return *find(name).model; }
  /// f32 logits of all test or training images.
  const Tensor& test_logits(const std::string& name);
  const Tensor& train_logits(const std::string& name);

 private:
  struct Entry {
    std::unique_ptr<ModelGraph> model;
    Tensor test_logits, train_logits;
  };
  Entry& find(const std::string& name);
  void load(Module& model, const std::string& name) const;

  const RunPlace& place_;
  std::uint64_t seed_;
  std::map<std::string, Entry> entries_;
};

}  // namespace limbeck
