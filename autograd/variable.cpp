// SPDX-License-Identifier: Apache-2.0
#include <limbeck/autograd/variable.h>

#include <algorithm>
#include <atomic>
#include <unordered_set>

#include <limbeck/core/trace.h>
#include <limbeck/kernels/elementwise.h>

namespace limbeck {

/// One value of the tape. Inputs are older than their result, so `id` orders every graph.
struct Node {
  const char* op = "leaf";
  std::uint64_t id = 0;
  Tensor value;
  Tensor grad;
  bool requires_grad = false;
  bool has_grad = false;  ///< grad holds a gradient, not just memory kept for the next one
  bool spent = false;
  std::string place;  ///< of the scope it was made in, when that was traced
  std::vector<std::shared_ptr<Node>> inputs;
  BackwardFn backward;  ///< empty for leaves

  Node() = default;
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;
  ~Node();

  bool is_leaf() const { return !backward && !spent; }
  void forget_graph();
};

// A chain of a million nodes must not become a million nested destructors: the last owner of a
// node takes its inputs over before it goes.
void Node::forget_graph() {
  backward = nullptr;
  std::vector<std::shared_ptr<Node>> owned = std::move(inputs);
  inputs.clear();
  while (!owned.empty()) {
    const std::shared_ptr<Node> node = std::move(owned.back());
    owned.pop_back();
    if (node.use_count() != 1) continue;
    node->backward = nullptr;
    std::move(node->inputs.begin(), node->inputs.end(), std::back_inserter(owned));
    node->inputs.clear();
  }
}

Node::~Node() { forget_graph(); }

namespace {

thread_local bool recording = true;
std::atomic<std::uint64_t> next_id{0};

/// Every node below `root` that needs a gradient, newest first.
std::vector<std::shared_ptr<Node>> backward_order(const std::shared_ptr<Node>& root) {
  std::vector<std::shared_ptr<Node>> order = {root};
  std::unordered_set<const Node*> seen = {root.get()};
  for (std::size_t i = 0; i < order.size(); ++i) {
    const Node& node = *order[i];
    LIMBECK_CHECK(!node.spent, "backward: the graph through '", node.op,
                  "' was used by an earlier backward; expected a fresh forward pass");
    for (std::size_t k = 0; k < order[i]->inputs.size(); ++k) {
      const std::shared_ptr<Node> input = order[i]->inputs[k];
      if (input && input->requires_grad && seen.insert(input.get()).second) order.push_back(input);
    }
  }
  std::sort(order.begin(), order.end(), [](const auto& a, const auto& b) { return a->id > b->id; });
  return order;
}

void run_backward(Node& node) {
  const TraceScope scope(node.op, TraceKind::gradient, &node.place);
  std::vector<InputGrad> inputs;
  for (const std::shared_ptr<Node>& input : node.inputs) inputs.emplace_back(input.get());
  node.backward(node.grad, inputs);
}

}  // namespace

Variable::Variable(Tensor value, bool requires_grad) : node_(std::make_shared<Node>()) {
  LIMBECK_CHECK(value.defined(), "Variable: value is undefined; expected a tensor");
  LIMBECK_CHECK(!requires_grad || is_floating(value.dtype()), "Variable: dtype is ", value.dtype(),
                "; expected a floating dtype where a gradient is required");
  node_->id = next_id++;
  node_->value = std::move(value);
  node_->requires_grad = requires_grad;
}

const Tensor& Variable::value() const {
  LIMBECK_CHECK(defined(), "Variable: value() of an undefined variable; expected a defined one");
  return node_->value;
}

Tensor& Variable::value() {
  LIMBECK_CHECK(defined(), "Variable: value() of an undefined variable; expected a defined one");
  return node_->value;
}

bool Variable::requires_grad() const { return defined() && node_->requires_grad; }

Tensor Variable::grad() const { return defined() && node_->has_grad ? node_->grad : Tensor(); }

void Variable::zero_grad() {
  if (defined()) node_->has_grad = false;
}

void Variable::backward() const {
  LIMBECK_CHECK(value().numel() == 1, "backward: shape ", shape(),
                "; expected one element, or a gradient to start from");
  backward(Tensor::full(shape(), 1, value().dtype(), value().device()));
}

void Variable::backward(const Tensor& dout) const {
  LIMBECK_CHECK(requires_grad(), "backward: the result requires no gradient; expected one made ",
                "from a variable that does, outside NoGrad");
  LIMBECK_CHECK(dout.shape() == shape() && dout.dtype() == value().dtype() &&
                    dout.device() == value().device(),
                "backward: gradient is ", dout.dtype(), dout.shape(), " on ", dout.device(),
                ", value ", value().dtype(), shape(), " on ", value().device(),
                "; expected them equal");
  std::vector<std::shared_ptr<Node>> order = backward_order(node_);
  InputGrad(node_.get()).give(dout.clone());
  for (std::shared_ptr<Node>& node : order) {
    if (node->is_leaf()) continue;
    if (node->has_grad) run_backward(*node);
    node->spent = true;
    node->has_grad = false;
    node->grad = Tensor();
    node->forget_graph();
    node.reset();
  }
}

NoGrad::NoGrad() : previous_(recording) { recording = false; }
NoGrad::~NoGrad() { recording = previous_; }
bool grad_enabled() { return recording; }

bool InputGrad::needed() const { return node_ && node_->requires_grad; }

void InputGrad::accumulate(const std::function<void(Tensor& grad, Out out)>& fill) {
  if (!needed()) return;
  if (!node_->grad.defined()) node_->grad = Tensor::empty_like(node_->value);
  fill(node_->grad, node_->has_grad ? Out::add : Out::write);
  node_->has_grad = true;
}

void InputGrad::give(Tensor g) {
  if (!needed()) return;
  if (node_->has_grad)
    add(node_->grad, node_->grad, g);
  else
    node_->grad = std::move(g);
  node_->has_grad = true;
}

bool records(std::span<const Variable> inputs) {
  return recording && std::any_of(inputs.begin(), inputs.end(),
                                  [](const Variable& v) { return v.requires_grad(); });
}

Variable record(const char* op, Tensor value, std::vector<Variable> inputs, BackwardFn backward) {
  const bool recorded = records(inputs);
  Variable result(std::move(value), recorded);
  if (!recorded) return result;
  result.node_->op = op;
  if (traces(TraceKind::gradient)) result.node_->place = trace_place();
  for (Variable& input : inputs) result.node_->inputs.push_back(std::move(input.node_));
  result.node_->backward = std::move(backward);
  return result;
}

}  // namespace limbeck
