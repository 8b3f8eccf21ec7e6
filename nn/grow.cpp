// SPDX-License-Identifier: Apache-2.0
#include <limbeck/nn/grow.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include <limbeck/nn/activation.h>
#include <limbeck/nn/dropout.h>
#include <limbeck/nn/flatten.h>
#include <limbeck/nn/grow_layer.h>
#include <limbeck/nn/pool2d.h>

namespace limbeck {
namespace {

constexpr std::size_t kInput = ModelGraph::kModelInput;
constexpr std::size_t kNothing = kInput - 1;  // a value that no node of the small model has

/// What a node of the big model gives: copies of what a node of the small one gives.
struct Value {
  std::size_t small = kNothing;
  UnitMap map;
  bool nonnegative = false;  ///< it went through a relu
  bool capped = false;       ///< and is at most 6
};

class Grower {
 public:
  Grower(ModelGraph& small, ModelGraph& big, const Shape& input, const GrowOptions& options)
      : small_(small), big_(big), options_(options), shape_(input), values_(big.size()) {
    small_shapes_ = small.node_shapes(input);
    big_shapes_ = big.node_shapes(input);
    input_ = {kInput, identity_map(input[-1]), false, false};
    for (std::size_t i = 0; i < small.size(); ++i) number_[small.name(i)] = i;
    find_branches();
  }

  void run() {
    for (std::size_t i = 0; i < big_.size(); ++i) {
      try {
        fill(i);
      } catch (const std::invalid_argument& e) {
        throw std::invalid_argument("grow: layer '" + big_.name(i) + "' " + e.what());
      }
    }
    check_result();
  }

 private:
  bool is_extra(std::size_t i) const { return i != kInput && !number_.contains(big_.name(i)); }
  const Value& value(std::size_t i) const { return i == kInput ? input_ : values_[i]; }
  /// The name of what the value stands for.
  std::string name_of(std::size_t small) const {
    return small == kNothing ? "nothing there"
           : small == kInput ? "the input"
                             : "'" + small_.name(small) + "'";
  }

  /// An extra add is a residual block: one of its inputs goes on and the other becomes 0.
  struct Branch {
    std::size_t trunk = kNothing, end = kNothing;
  };

  std::set<std::size_t> ancestors(std::size_t i) const {
    std::set<std::size_t> found;
    std::vector<std::size_t> left = {i};
    while (!left.empty()) {
      const std::size_t node = left.back();
      left.pop_back();
      if (node == kInput || !found.insert(node).second) continue;
      for (const std::size_t from : big_.inputs(node)) left.push_back(from);
    }
    return found;
  }

  void find_branches() {
    for (std::size_t i = 0; i < big_.size(); ++i) {
      const std::vector<std::size_t>& from = big_.inputs(i);
      if (!is_extra(i) || big_.layer(i) || big_.describe(i) != "add" || from.size() != 2) continue;
      Branch branch;
      for (int k = 0; k < 2; ++k) {
        const std::size_t end = from[static_cast<std::size_t>(k)];
        if (is_extra(end) && big_.layer(end) && can_be_zero(*big_.layer(end)) &&
            (branch.end == kNothing || end > branch.end))
          branch = {from[static_cast<std::size_t>(1 - k)], end};
      }
      if (branch.end == kNothing) continue;
      branches_[i] = branch;
      const std::set<std::size_t> trunk = ancestors(branch.trunk);
      for (const std::size_t node : ancestors(branch.end))
        if (is_extra(node) && !trunk.contains(node)) in_branch_.insert(node);
    }
  }

  void fill(std::size_t i) {
    if (!is_extra(i)) return fill_shared(i, number_.at(big_.name(i)));
    const auto branch = branches_.find(i);
    if (branch != branches_.end()) {
      make_zero(*big_.layer(branch->second.end));
      values_[i] = value(branch->second.trunk);
    } else if (!in_branch_.contains(i)) {
      fill_extra(i);
    }
  }

  void fill_shared(std::size_t i, std::size_t s) {
    const std::vector<std::size_t>&from = big_.inputs(i), &small_from = small_.inputs(s);
    const bool same_kind = (big_.layer(i) == nullptr) == (small_.layer(s) == nullptr) &&
                           from.size() == small_from.size();
    LIMBECK_CHECK(same_kind, "is ", small_.describe(s), " in the small model and ",
                  big_.describe(i), " in the big one; expected equal ones");
    for (std::size_t k = 0; k < from.size(); ++k)
      LIMBECK_CHECK(value(from[k]).small == small_from[k], "reads ", name_of(small_from[k]),
                    " in the small model, and in the big one what stands for ",
                    name_of(value(from[k]).small), "; expected the same");
    const Shape &a = small_shapes_[s], &b = big_shapes_[i];
    LIMBECK_CHECK(a.rank() == b.rank() && std::equal(a.begin(), a.end() - 1, b.begin()), "gives ",
                  a, " in the small model and ", b,
                  " in the big one; expected them equal but for the last extent");
    values_[i] = big_.layer(i) ? shared_layer(i, s) : shared_join(i, s);
    values_[i].small = s;
  }

  Value shared_layer(std::size_t i, std::size_t s) {
    const Value& x = value(big_.inputs(i)[0]);
    Value y;
    y.map = grow_layer({*small_.layer(s), *big_.layer(i), x.map, small_shapes_[s][-1],
                        big_shapes_[i][-1], static_cast<std::uint32_t>(i)},
                       options_);
    set_range(y, x, *big_.layer(i));
    return y;
  }

  static void set_range(Value& y, const Value& x, Module& layer) {
    if (const auto* act = dynamic_cast<ActivationLayer*>(&layer)) {
      const Activation kind = act->activation();
      y.nonnegative =
          kind == Activation::relu || kind == Activation::relu6 || kind == Activation::sigmoid;
      y.capped = y.nonnegative && (kind != Activation::relu || x.capped);
    } else if (dynamic_cast<Pool2d*>(&layer) || dynamic_cast<Flatten*>(&layer) ||
               dynamic_cast<Dropout*>(&layer)) {
      y.nonnegative = x.nonnegative;
      y.capped = x.capped;
    }
  }

  Value shared_join(std::size_t i, std::size_t s) {
    LIMBECK_CHECK(big_.describe(i) == small_.describe(s), "is ", small_.describe(s),
                  " in the small model and ", big_.describe(i),
                  " in the big one; expected equal ones");
    std::vector<UnitMap> maps;
    bool nonnegative = true;
    for (const std::size_t from : big_.inputs(i)) {
      maps.push_back(value(from).map);
      nonnegative = nonnegative && value(from).nonnegative;
    }
    if (big_.describe(i) == "concat") return {s, concat_maps(maps), nonnegative, false};
    for (const UnitMap& map : maps)
      LIMBECK_CHECK(map == maps[0], "(", big_.describe(i), ") joins inputs whose ", maps[0].big(),
                    " channels copy different ones of the small model; expected layers of equal "
                    "widths");
    return {s, maps[0], nonnegative, false};
  }

  /// The identity.
  void fill_extra(std::size_t i) {
    const Value x = value(big_.inputs(i)[0]);
    Module* layer = big_.layer(i);
    LIMBECK_CHECK(layer, "(", big_.describe(i), ") is in the big model only; expected that of an ",
                  "add one input is the result of a linear, conv2d or batch_norm layer, which ",
                  "becomes 0");
    const std::size_t from = big_.inputs(i)[0];
    const bool keeps_shape = (from == kInput ? shape_ : big_shapes_[from]) == big_shapes_[i];
    if (const auto* act = dynamic_cast<ActivationLayer*>(layer)) {
      const bool relu = act->activation() == Activation::relu && x.nonnegative;
      const bool relu6 = act->activation() == Activation::relu6 && x.nonnegative && x.capped;
      LIMBECK_CHECK(relu || relu6, "(", big_.describe(i), ") is in the big model only; ",
                    "expected a relu that reads what went through one, which it does not change");
    } else if (!dynamic_cast<Dropout*>(layer) && !dynamic_cast<DropPath*>(layer) &&
               !(dynamic_cast<Flatten*>(layer) && keeps_shape)) {
      LIMBECK_CHECK(keeps_shape && make_identity(*layer), "(", big_.describe(i),
                    ") is in the big model only and cannot be the identity; expected a linear or "
                    "conv2d layer that keeps its input's shape");
    }
    values_[i] = x;
  }

  void check_result() const {
    const std::size_t last = small_.size() - 1;
    std::set<std::size_t> filled;
    for (std::size_t i = 0; i < big_.size(); ++i)
      if (!is_extra(i)) filled.insert(number_.at(big_.name(i)));
    for (std::size_t s = 0; s < small_.size(); ++s)
      LIMBECK_CHECK(filled.contains(s), "grow: the big model has no layer '", small_.name(s),
                    "'; expected all of the small one's, under the same names");
    const Value& result = values_.back();
    LIMBECK_CHECK(result.small == last, "grow: the big model's result stands for ",
                  name_of(result.small), "; expected ", name_of(last), ", the small one's");
    LIMBECK_CHECK(result.map.is_identity(), "grow: the models give ", result.map.small, " and ",
                  result.map.big(), " numbers; expected equally many");
  }

  ModelGraph &small_, &big_;
  GrowOptions options_;
  Shape shape_;  // of the input
  std::vector<Shape> small_shapes_, big_shapes_;
  std::map<std::string, std::size_t> number_;  // of the small model's nodes
  std::map<std::size_t, Branch> branches_;     // by their adds
  std::set<std::size_t> in_branch_;            // keep their values
  Value input_;
  std::vector<Value> values_;
};

}  // namespace

void grow(ModelGraph& small, ModelGraph& big, const Shape& input, const GrowOptions& options) {
  LIMBECK_CHECK(small.size() > 0 && big.size() > 0, "grow: a model has no layers");
  LIMBECK_CHECK(input.rank() >= 2, "grow: input has shape ", input, "; expected that of a batch");
  LIMBECK_CHECK(options.noise >= 0 && std::isfinite(options.noise), "grow: noise is ",
                options.noise, "; expected >= 0");
  Grower(small, big, input, options).run();
}

}  // namespace limbeck
