// SPDX-License-Identifier: Apache-2.0
#include <limbeck/distill/adapter.h>

#include <limbeck/nn/activation.h>
#include <limbeck/nn/init.h>
#include <limbeck/nn/linear.h>
#include <limbeck/nn/sequential.h>

namespace limbeck {

std::unique_ptr<Module> make_adapter(AdapterKind kind, std::int64_t in, std::int64_t out,
                                     std::uint64_t seed, DType dtype, Device device) {
  std::unique_ptr<Module> adapter;
  if (kind == AdapterKind::linear) {
    adapter = std::make_unique<Linear>(in, out, true, dtype, device);
  } else {
    auto layers = std::make_unique<Sequential>();
    for (int i = 0; i < 3; ++i) {
      if (i > 0) layers->add(std::make_unique<ActivationLayer>(Activation::relu));
      layers->add(std::make_unique<Linear>(i == 0 ? in : out, out, false, dtype, device));
    }
    adapter = std::move(layers);
  }
  initialize(*adapter, Init::torch_default, seed);
  return adapter;
}

std::vector<NamedParameter> adapter_parameters(Module& adapter, const std::string& prefix) {
  std::vector<NamedParameter> list = adapter.parameters();
  for (NamedParameter& p : list) p.name = prefix + "." + p.name;
  return list;
}

}  // namespace limbeck
