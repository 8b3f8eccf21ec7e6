// SPDX-License-Identifier: Apache-2.0
// What makes a receiver's features as wide as the source's; trained with it, then dropped.
#pragma once

#include <memory>

#include <limbeck/nn/module.h>

namespace limbeck {

/// linear: one layer with bias. vid: three without, of the output's width, ReLU between them (Ahn
/// et al. 2019). On rows of positions they are 1x1 convolutions.
enum class AdapterKind { linear, vid };

/// Maps rows (N,in) to (N,out); weights as PyTorch's defaults, drawn from `seed`.
std::unique_ptr<Module> make_adapter(AdapterKind kind, std::int64_t in, std::int64_t out,
                                     std::uint64_t seed, DType dtype = DType::f32,
                                     Device device = Device::cpu());

/// Its parameters under `prefix`, as in "adapter.0.weight".
std::vector<NamedParameter> adapter_parameters(Module& adapter,
                                               const std::string& prefix = "adapter");

}  // namespace limbeck
