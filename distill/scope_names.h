// SPDX-License-Identifier: Apache-2.0
// What the trace scopes (core/trace.h) of a run are called.
#pragma once

#include <string>

#include <limbeck/distill/participant.h>
#include <limbeck/nn/model_graph.h>

namespace limbeck {

/// A participant's name; "student" for one that has none.
inline std::string scope_name(const Participant& participant) {
  return participant.name.empty() ? "student" : participant.name;
}

/// The op of nodes i to `end` of a model: "fc1", or "fc1+relu1" of two that run as one.
inline std::string op_name(const ModelGraph& graph, std::size_t i, std::size_t end) {
  std::string name = graph.name(i);
  while (i < end) name += "+" + graph.name(++i);
  return name;
}

}  // namespace limbeck
