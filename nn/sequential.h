// SPDX-License-Identifier: Apache-2.0
// Layers one after another.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <limbeck/nn/module.h>

namespace limbeck {

/// Feeds each layer's output to the next. Parameters are named "<layer>.<parameter>". A Linear
/// followed by an activation runs as one op, with the same values.
class Sequential : public Module {
 public:
  /// Appends a layer; an empty name stands for its index. Names are unique and without dots.
  void add(std::unique_ptr<Module> layer, std::string name = "");
  std::size_t size() const { return layers_.size(); }
  Module& layer(std::size_t i) { return *layers_.at(i).module; }
  const std::string& name(std::size_t i) const { return layers_.at(i).name; }

  Variable forward(const Variable& x, Context& context) override;
  Shape output_shape(const Shape& input) const override;
  std::vector<NamedParameter> parameters() override;
  std::vector<NamedBuffer> buffers() override;
  std::string describe() const override;

 private:
  struct Layer {
    std::string name;
    std::unique_ptr<Module> module;
  };
  std::vector<Layer> layers_;
};

}  // namespace limbeck
