// SPDX-License-Identifier: Apache-2.0
// A model whose layers read any earlier ones, not only the one before.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <limbeck/kernels/joined_linear.h>
#include <limbeck/nn/module.h>

namespace limbeck {

/// What a node makes of several inputs: their sum or product, of equal shapes, left to right; one
/// after the other along the last axis, the others being equal; of two a and b silu(a) b.
enum class Join { add, mul, concat, swiglu };

/// A list of named nodes, each a layer of one input or a join of several, which come earlier in the
/// list; the last one's output is the model's. An empty graph is the identity. Parameters are named
/// "<node>.<parameter>". A Linear whose only reader is an activation just after it runs with it as
/// one op, with the same values; so do a Conv2d, a BatchNorm or a GroupNorm and a relu, and such a
/// norm, an add of two just after it and the relu after that.
class ModelGraph : public Module {
 public:
  /// Stands for the model's input in `from`.
  static constexpr const char* kInput = "input";
  /// Stands for it where nodes are numbered.
  static constexpr std::size_t kModelInput = static_cast<std::size_t>(-1);

  /// Appends a layer that reads `from`, by default the node before (the model's input for the first
  /// one). An empty name stands for the node's index; names are unique and may have dots, as in
  /// "layer1.0.conv1". Throws std::invalid_argument naming the node.
  void add(std::unique_ptr<Module> layer, std::string name = "", const std::string& from = "");
  /// Appends a join of two inputs or more.
  void add(Join join, const std::vector<std::string>& from, std::string name = "");

  /// Computes nodes [first, last) again in backward instead of keeping what they make, to the bit
  /// (nn/recompute.h). They read each other and what comes just before them, and only the last of
  /// them is read by others. A pass that taps one of the others keeps everything. Comes after the
  /// last add(). Throws std::invalid_argument naming a node that does otherwise.
  void recompute(std::size_t first, std::size_t last);

  std::size_t size() const { return nodes_.size(); }
  const std::string& name(std::size_t i) const { return nodes_.at(i).name; }
  /// The layer of node i; null for a join.
  Module* layer(std::size_t i) { return nodes_.at(i).layer.get(); }
  /// What node i reads: earlier nodes, or kModelInput.
  const std::vector<std::size_t>& inputs(std::size_t i) const { return nodes_.at(i).from; }
  /// "Linear(784, 10)", or "add" for a join.
  std::string describe(std::size_t i) const;
  /// Nodes whose whole name matches the regular expression (ECMAScript), in order. Throws
  /// std::invalid_argument when there are none.
  std::vector<std::size_t> find(const std::string& pattern) const;

  /// What is wanted of a pass beside its result, and what is there already.
  struct Pass {
    std::vector<std::size_t> taps = {};  ///< nodes, ascending
    /// Called for each of them as soon as it is computed.
    std::function<void(std::size_t, const Variable&)> tap = {};
    /// Values of nodes, which are not computed then: by the last node of their op, see op_end().
    std::map<std::size_t, Variable> given = {};
    bool without_last = false;  ///< the result is what the last node, a layer, would read
    /// Weights of Linear nodes of a pass that is not recorded; or null.
    const std::map<std::size_t, PackedWeight>* packed = nullptr;
  };

  /// Values are dropped after their last reader, so without a tape only those still needed live.
  Variable forward(const Variable& x, Context& context) override;
  Variable forward(const Variable& x, Context& context, const Pass& pass);
  Variable forward(const Variable& x, Context& context, const std::vector<std::size_t>& taps,
                   const std::function<void(std::size_t, const Variable&)>& tap);
  /// The node whose value the op of node i makes when `taps` are tapped: i, or the last one of
  /// those that run with it. What is computed again is no op of its own: kModelInput.
  std::size_t op_end(std::size_t i, const std::vector<std::size_t>& taps) const;
  /// Those of node i's inputs that nobody reads after it.
  const std::vector<std::size_t>& last_read(std::size_t i) const { return nodes_.at(i).done; }

  Shape output_shape(const Shape& input) const override;
  /// The output shape of every node.
  std::vector<Shape> node_shapes(const Shape& input) const;
  /// The shape of node i's output, given those of all nodes before it.
  Shape node_shape(std::size_t i, const Shape& input, const std::vector<Shape>& before) const;
  std::vector<NamedParameter> parameters() override;
  std::vector<NamedBuffer> buffers() override;
  std::string describe() const override;

 private:
  struct Node {
    std::string name;
    std::vector<std::size_t> from;  ///< nodes, or kModelInput
    std::shared_ptr<Module> layer;  ///< null for a join
    Join join = Join::add;
    std::vector<std::size_t> done;  ///< inputs that nobody reads after this node
    std::size_t fused = 0;          ///< nodes after it that run with it as one op
  };
  /// Nodes [first, first + nodes.size()), computed again in backward: shared with the graphs that
  /// are still to run it.
  struct Segment {
    std::size_t first = 0;
    std::vector<Node> nodes;
    std::size_t last() const { return first + nodes.size(); }
  };
  class Values;
  static void compute(std::span<const Node> nodes, std::size_t first, std::size_t i,
                      std::size_t end, Values& values, Context& context,
                      const PackedWeight& packed = {});
  template <class Starts>
  std::size_t end_of(std::size_t i, const std::vector<std::size_t>& taps, Starts starts) const;
  std::size_t take(std::size_t i, const Pass& pass, Values& values) const;
  static Variable run(const std::shared_ptr<const Segment>& segment, const Variable& x,
                      Context& context);
  const std::shared_ptr<const Segment>* segment_at(std::size_t i) const;
  std::size_t fused_after(std::size_t i, std::map<std::size_t, std::size_t>& readers) const;
  void append(Node node);
  std::size_t resolve(const std::string& from, const std::string& reader) const;
  void find_last_readers();

  std::vector<Node> nodes_;
  std::vector<std::shared_ptr<const Segment>> segments_;
};

}  // namespace limbeck
