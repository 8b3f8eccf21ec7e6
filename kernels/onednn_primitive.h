// SPDX-License-Identifier: Apache-2.0
// Internal: oneDNN primitives as limbeck runs them, on one thread each. limbeck's pool runs several
// of them on blocks of the work: oneDNN's own OpenMP threads would wait for each other in barriers
// and fight with the pool. The interfaces of versions 2 and 3 differ in make_desc and attributes
// only.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <oneapi/dnnl/dnnl.hpp>
#include <string_view>
#include <unordered_map>

namespace limbeck::onednn {

using Index = std::int64_t;
using Desc = dnnl::memory::desc;
using Tag = dnnl::memory::format_tag;
using Arguments = std::unordered_map<int, dnnl::memory>;

dnnl::engine& engine();

/// A primitive and what it wants to be given. `reorder` brings weights from limbeck's layout into
/// oneDNN's, or a weight gradient back.
struct Operation {
  dnnl::primitive primitive;
  Desc scratchpad, weights;
  dnnl::primitive reorder;
};

/// Kind, extents and strides: everything an operation depends on.
using Key = std::array<Index, 16>;
enum Kind : Index { kMatmul, kForward, kBackwardData, kBackwardWeight };

/// The operation for `key`, made at its first use; null when oneDNN has no fast one.
std::shared_ptr<const Operation> cached(const Key& key,
                                        const std::function<std::shared_ptr<Operation>()>& make);

/// Runs a primitive on the calling thread alone.
void execute(const dnnl::primitive& primitive, const Arguments& arguments);
/// As execute, with a scratchpad of its own, so that several threads may run one operation.
void run(const Operation& operation, Arguments arguments);

inline dnnl::memory wrap(const Desc& desc, const void* p) {
  return dnnl::memory(desc, engine(), const_cast<void*>(p));
}

/// Scratchpads are ours; `add` adds the result to what is there, `relu` then clips it at 0.
dnnl::primitive_attr attributes(bool add = false, bool relu = false);

/// The primitive descriptor of type P for the given arguments; empty when oneDNN has none.
template <class P, class... Args>
typename P::primitive_desc make_desc(const dnnl::primitive_attr& attr, const Args&... args) {
#if DNNL_VERSION_MAJOR >= 3
  return typename P::primitive_desc(engine(), args..., attr, true);
#else
  return typename P::primitive_desc(typename P::desc(args...), attr, engine(), true);
#endif
}

/// As make_desc, for a backward pass, which takes its forward pass as a hint.
template <class P, class Hint, class... Args>
typename P::primitive_desc make_backward_desc(const Hint& hint, const Args&... args) {
  if (!hint) return {};
#if DNNL_VERSION_MAJOR >= 3
  return typename P::primitive_desc(engine(), args..., hint, attributes(), true);
#else
  return typename P::primitive_desc(typename P::desc(args...), attributes(), engine(), hint, true);
#endif
}

/// Null when there is no implementation but the reference one, which is hundreds of times slower.
template <class P, class PrimitiveDesc>
std::shared_ptr<Operation> make_operation(const PrimitiveDesc& desc) {
  if (!desc) return nullptr;
  if (std::string_view(desc.impl_info_str()).find("ref") != std::string_view::npos) return nullptr;
  return std::make_shared<Operation>(Operation{P(desc), desc.scratchpad_desc(), {}, {}});
}

}  // namespace limbeck::onednn
