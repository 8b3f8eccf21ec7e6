// SPDX-License-Identifier: Apache-2.0
// A short name for contents: equal bytes have equal digests, on every machine.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include <limbeck/core/tensor.h>

namespace limbeck {

/// XXH3-128 of everything added, in order. It finds accidents, not attacks.
class Digest {
 public:
  Digest();
  ~Digest();
  Digest(const Digest&) = delete;
  Digest& operator=(const Digest&) = delete;

  void add(std::string_view bytes);
  /// Adds dtype, shape and elements; a tensor on a GPU is copied to the host first.
  void add(const Tensor& tensor);
  std::string hex() const;  ///< 32 lower-case hexadecimal digits

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace limbeck
