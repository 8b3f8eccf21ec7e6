// SPDX-License-Identifier: Apache-2.0
// Variable: a tensor that remembers how it was made, and the tape that runs backwards.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include <limbeck/core/out.h>
#include <limbeck/core/tensor.h>

namespace limbeck {

struct Node;

/// A handle to a node of the tape; copies share it. Leaves are made by the constructor, results by
/// the ops in autograd/. The graph lives as long as a handle to its end does.
class Variable {
 public:
  Variable() = default;
  explicit Variable(Tensor value, bool requires_grad = false);

  bool defined() const { return node_ != nullptr; }
  const Tensor& value() const;
  Tensor& value();  ///< to update a parameter in place; do not resize
  const Shape& shape() const { return value().shape(); }
  bool requires_grad() const;

  /// The gradient left here by backward(), or an undefined tensor when there is none. Kept for
  /// leaves only; several backward calls add up until zero_grad().
  Tensor grad() const;
  /// Forgets the gradient; its memory is kept, and the next backward writes it anew.
  void zero_grad();

  /// Adds d(this)/d(leaf) to the gradient of every leaf that requires one, this having one element.
  /// Nodes run in the reverse of the order they were made, so sums have a fixed order. Saved
  /// tensors are freed: a second backward through the same graph throws std::invalid_argument.
  void backward() const;
  /// The same, starting from the given gradient (shape and dtype of value()).
  void backward(const Tensor& dout) const;

 private:
  friend Variable record(const char*, Tensor, std::vector<Variable>,
                         std::function<void(const Tensor&, std::span<class InputGrad>)>);
  std::shared_ptr<Node> node_;
};

/// While one is alive on this thread, ops record nothing and save nothing.
class NoGrad {
 public:
  NoGrad();
  ~NoGrad();
  NoGrad(const NoGrad&) = delete;
  NoGrad& operator=(const NoGrad&) = delete;

 private:
  bool previous_;
};

bool grad_enabled();

/// Where a backward function leaves the gradient of one of its inputs. Does nothing for an input
/// that needs no gradient.
class InputGrad {
 public:
  explicit InputGrad(Node* node) : node_(node) {}
  bool needed() const;
  /// Calls fill(grad, out): grad is the input's gradient buffer, out says write (the first
  /// contribution) or add. For kernels that can do both.
  void accumulate(const std::function<void(Tensor& grad, Out out)>& fill);
  /// Hands over a finished contribution. A first one becomes the buffer itself, so g must not be
  /// used afterwards.
  void give(Tensor g);

 private:
  Node* node_;
};

using BackwardFn = std::function<void(const Tensor& dout, std::span<InputGrad> inputs)>;

/// True when an op on these inputs is recorded: what the op saves for backward is worth computing.
/// An undefined input needs no gradient.
bool records(std::span<const Variable> inputs);

/// Makes the result of an op. When records(inputs) is false, `backward` is dropped (with everything
/// it captured). It is called at most once; inputs[i] belongs to the i-th input. The memory of dout
/// is the node's own and nobody reads it afterwards: backward may work in it and hand it to one
/// input.
Variable record(const char* op, Tensor value, std::vector<Variable> inputs, BackwardFn backward);

}  // namespace limbeck
