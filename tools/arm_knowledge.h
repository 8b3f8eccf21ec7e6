// SPDX-License-Identifier: Apache-2.0
// What an arm would store of its source, and a cache in the source's place.
#pragma once

#include <map>
#include <memory>
#include <string>

#include <limbeck/nn/model_graph.h>
#include <limbeck/tools/knowledge_cache.h>
#include <limbeck/tools/run_data.h>

namespace limbeck {

/// The arm to look at where none is named: the last that distils, else the last.
const Arm& main_arm(const Experiment& experiment);

/// The arm of that name. Throws std::invalid_argument when there is none.
const Arm& find_arm(const Experiment& experiment, const std::string& name);

/// Refuses an arm whose source's knowledge is no function of the sample: it learns from nobody,
/// from a model that learns itself, or from one that looks at whole batches. Throws
/// std::invalid_argument.
void check_storable(const Arm& arm);

/// "none", or what is varied and by how much.
std::string describe_augment(const Augment& augment);

/// Layers of the source by name: one sample's output.
using TapShapes = std::map<std::string, Shape>;
TapShapes tap_shapes(const ModelGraph& model, const Shape& input);

/// What a cache of this arm is of with the run's seed; source_digest stays empty. `taps` has the
/// layers that the arm learns from.
KnowledgeOrigin origin_of(const Experiment& experiment, const Arm& arm, const RunData& data,
                          const TapShapes& taps, std::uint64_t seed);

/// The model that an arm learns from, with weights from a file, and their digest in f32. It has
/// the dtype that students learn from.
struct SourceModel {
  std::unique_ptr<ModelGraph> model;
  std::string digest;
  std::string unmatched;  ///< as load_weights says
};
/// `weights` takes the place of the teacher's in the run file; empty: those. Throws
/// std::invalid_argument when there are none.
SourceModel load_source(const Experiment& experiment, const Arm& arm, const RunData& data,
                        const std::string& weights, Device device);

/// Leaves of an experiment the arm that the cache was made for, which learns from it alone. Refuses
/// a cache that is not what this arm would compute: throws std::invalid_argument in one line with
/// `path` and both values. The source's digest is compared where the run file names a file of
/// weights that exists, tau where the cache has the largest logits alone, seeds where it has codes.
void learn_from_cache(Experiment& experiment, const KnowledgeCache& cache, const std::string& path,
                      const RunData& data);

}  // namespace limbeck
