// SPDX-License-Identifier: Apache-2.0
// Internal, CPU: one loop over the elements of all of an optimiser's parameters.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include <limbeck/core/parallel.h>
#include <limbeck/core/simd.h>

namespace limbeck::cpu {

/// Calls body(param, begin, n) for pieces of n elements from `begin` that make up the `value` of
/// every parameter: in parallel, unless all of them together are too few to share.
template <class Param, class Body>
void for_each_piece(std::span<Param> params, Body body) {
  constexpr std::int64_t kPiece = 32768;
  struct Piece {
    Param& param;
    std::int64_t begin, n;
  };
  std::vector<Piece> pieces;
  std::int64_t elements = 0;
  for (Param& p : params) {
    const std::int64_t numel = p.value.numel();
    for (std::int64_t i = 0; i < numel; i += kPiece)
      pieces.push_back({p, i, std::min(kPiece, numel - i)});
    elements += numel;
  }
  const auto run = [&](std::int64_t t) {
    const Piece& piece = pieces[static_cast<std::size_t>(t)];
    body(piece.param, piece.begin, piece.n);
  };
  const auto tasks = static_cast<std::int64_t>(pieces.size());
  if (elements > kPiece)
    parallel_for(tasks, run);
  else
    for (std::int64_t t = 0; t < tasks; ++t) run(t);
}

/// rounded_i = value_i to the nearest: a model's parameter from its master copy.
template <class G, class T>
void round_piece(G* rounded, const T* value, std::int64_t n) {
  simd([=](auto) {
#pragma omp simd
    for (std::int64_t i = 0; i < n; ++i) rounded[i] = G(value[i]);
  });
}

}  // namespace limbeck::cpu
