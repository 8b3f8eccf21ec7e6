// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/digest.h>

#include <xxhash.h>

#include <cstdio>
#include <new>

#include <limbeck/core/error.h>

namespace limbeck {

struct Digest::State {
  XXH3_state_t* xxh = XXH3_createState();
  ~State() { XXH3_freeState(xxh); }
};

Digest::Digest() : state_(std::make_unique<State>()) {
  if (!state_->xxh) throw std::bad_alloc();
  XXH3_128bits_reset(state_->xxh);
}
Digest::~Digest() = default;

void Digest::add(std::string_view bytes) {
  XXH3_128bits_update(state_->xxh, bytes.data(), bytes.size());
}

void Digest::add(const Tensor& tensor) {
  const Tensor host = tensor.to(Device::cpu());
  add(detail::concat(host.dtype(), host.shape()));
  add({static_cast<const char*>(host.raw()), host.nbytes()});
}

std::string Digest::hex() const {
  const XXH128_hash_t hash = XXH3_128bits_digest(state_->xxh);
  char text[33];
  std::snprintf(text, sizeof text, "%016llx%016llx", static_cast<unsigned long long>(hash.high64),
                static_cast<unsigned long long>(hash.low64));
  return text;
}

}  // namespace limbeck
