// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tests/simt/model.h>

#include <array>
#include <cstdlib>

#include <limbeck/core/error.h>

namespace limbeck::simt {
namespace {

constexpr std::size_t kKiB = 1024;

// CUDA C++ Programming Guide, "Technical Specifications per Compute Capability".
constexpr std::array<Model, 7> kModels = {{{75, 64 * kKiB, 64 * kKiB},
                                           {80, 163 * kKiB, 164 * kKiB},
                                           {86, 99 * kKiB, 100 * kKiB},
                                           {89, 99 * kKiB, 100 * kKiB},
                                           {90, 227 * kKiB, 228 * kKiB},
                                           {100, 227 * kKiB, 228 * kKiB},
                                           {120, 99 * kKiB, 100 * kKiB}}};

const Model& find(int compute_capability) {
  for (const Model& m : kModels)
    if (m.compute_capability == compute_capability) return m;
  throw CudaError(limbeck::detail::concat("emulated GPU: compute capability ", compute_capability,
                                          "; expected 75, 80, 86, 89, 90, 100 or 120"));
}

const Model*& current() {
  static const Model* model = [] {
    const char* text = std::getenv("LIMBECK_SIMT_DEVICE");
    return &find(text ? std::atoi(text) : 90);
  }();
  return model;
}

}  // namespace

const Model& model() { return *current(); }
void set_model(int compute_capability) { current() = &find(compute_capability); }

}  // namespace limbeck::simt
