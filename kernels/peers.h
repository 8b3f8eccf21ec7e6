// SPDX-License-Identifier: Apache-2.0
// Internal: several matrices of one shape, the logits of models that teach each other.
#pragma once

#include <vector>

#include <limbeck/core/error.h>
#include <limbeck/core/tensor.h>
#include <limbeck/kernels/row_checks.h>

namespace limbeck {

inline constexpr int kMaxPeers = 8;

/// What a kernel needs of them.
template <class T>
struct Peers {
  const T* at[kMaxPeers];
  int count;
};

template <class T>
Peers<T> peers_of(const std::vector<Tensor>& tensors) {
  Peers<T> peers{};
  peers.count = static_cast<int>(tensors.size());
  for (std::size_t i = 0; i < tensors.size(); ++i) peers.at[i] = tensors[i].data<T>();
  return peers;
}

/// Throws unless these are 1 to kMaxPeers matrices (N,V) of one floating dtype on one device.
inline void check_peers(const char* op, const std::vector<Tensor>& peers) {
  LIMBECK_CHECK(!peers.empty() && peers.size() <= kMaxPeers, op, ": ", peers.size(),
                " peers; expected 1 to ", kMaxPeers);
  for (const Tensor& peer : peers) {
    LIMBECK_CHECK(peer.defined(), op, ": a peer is undefined");
    check_rows(op, "a peer", peer);
    check_like(op, "a peer", peer, "the first", peers[0]);
  }
}

}  // namespace limbeck
