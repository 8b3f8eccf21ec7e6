// SPDX-License-Identifier: Apache-2.0
#include <limbeck/nn/recompute.h>

#include <limbeck/autograd/recompute.h>

namespace limbeck {

Recompute::Recompute(std::unique_ptr<Module> body) : body_(std::move(body)) {
  LIMBECK_CHECK(body_, "Recompute: no body; expected a module");
}

std::string Recompute::describe() const { return "Recompute(" + body_->describe() + ")"; }

Variable Recompute::forward(const Variable& x, Context& context) {
  std::vector<Variable> parameters;
  for (const NamedParameter& p : body_->parameters()) parameters.push_back(p.value);
  return recompute(x, parameters, context, [body = body_](const Variable& in, Context& again) {
    return body->forward(in, again);
  });
}

Variable recompute(const Variable& x, const std::vector<Variable>& parameters, Context& context,
                   std::function<Variable(const Variable&, Context&)> body) {
  // The first pass advances the caller's context; each later one starts from the same copy.
  const Context before = context;
  bool first = true;
  return recompute(x, parameters,
                   [=, &context, body = std::move(body)](const Variable& in) mutable {
                     if (first) {
                       first = false;
                       return body(in, context);
                     }
                     Context again = before;
                     if (again.training && again.statistics == Statistics::follow)
                       again.statistics = Statistics::batch;  // the running ones have moved
                     return body(in, again);
                   });
}

}  // namespace limbeck
