// SPDX-License-Identifier: Apache-2.0
// Internal: the sizes and pointers of an attention, as both devices read them.
#pragma once

#include <cmath>

#include <limbeck/core/host_device.h>
#include <limbeck/kernels/attention.h>
#include <limbeck/kernels/dropout.h>

namespace limbeck {

/// Heads by pointer and strides: row t of head h in sequence n is at p + n batch + t row + h D.
template <class T>
struct HeadRows {
  T* p;
  std::int64_t batch, row, D;

  LIMBECK_HD T* at(std::int64_t n, std::int64_t h, std::int64_t t) const {
    return p + n * batch + t * row + h * D;
  }
};

template <class T>
HeadRows<const T> head_rows(const Heads& x) {
  const std::int64_t row = x.tensor.dim(2) * x.width();
  return {x.tensor.data<T>() + x.first * x.width(), x.rows() * row, row, x.width()};
}
template <class T>
HeadRows<T> head_rows_to_write(Heads& x) {
  const std::int64_t row = x.tensor.dim(2) * x.width();
  return {x.tensor.data<T>() + x.first * x.width(), x.rows() * row, row, x.width()};
}

struct AttentionSizes {
  std::int64_t N, T, S, H, G, D;
  const std::int32_t* lengths;  ///< null: all S
  bool causal;
  double scale;
  std::uint32_t threshold;  ///< of words that keep a probability; 0: all are kept
  double factor;            ///< of one that is kept
  RngStream stream;
  std::int64_t first_sequence;

  AttentionSizes(const Heads& q, const Heads& k, const Tensor& valid, const AttentionOptions& o)
      : N(q.tensor.dim(0)),
        T(q.rows()),
        S(k.rows()),
        H(q.count),
        G(k.count),
        D(q.width()),
        lengths(valid.defined() ? valid.data<std::int32_t>() : nullptr),
        causal(o.causal),
        scale(o.scale != 0 ? o.scale : 1 / std::sqrt(static_cast<double>(D))),
        threshold(o.dropout.p > 0 ? dropout_threshold(o.dropout.p) : 0),
        factor(1 / (1 - o.dropout.p)),
        stream(o.dropout.stream),
        first_sequence(o.dropout.first_sequence) {}

  /// With the step of the stream known, as `words` wants it.
  LIMBECK_HD AttentionSizes resolved() const {
    AttentionSizes known = *this;
    known.stream = stream.resolved();
    return known;
  }
  /// Keys of sequence n that any query sees.
  LIMBECK_HD std::int64_t length(std::int64_t n) const {
    if (lengths == nullptr) return S;
    const std::int64_t valid = lengths[n];
    return valid < 0 ? 0 : valid < S ? valid : S;
  }
  LIMBECK_HD bool drops() const { return threshold > 0; }
  /// What the probabilities of keys 4 `four` to 4 `four` + 3 are kept by.
  LIMBECK_HD Philox4 words(std::int64_t n, std::int64_t h, std::int64_t i,
                           std::int64_t four) const {
    const std::int64_t row = ((first_sequence + n) * H + h) * T + i;
    return philox_block(stream, static_cast<std::uint32_t>(row * ((S + 3) / 4) + four));
  }
  /// m_ij of the header.
  LIMBECK_HD float kept(std::int64_t n, std::int64_t h, std::int64_t i, std::int64_t j) const {
    const Philox4 block = words(n, h, i, j / 4);
    const std::uint32_t word[4] = {block.x, block.y, block.z, block.w};
    return word[j % 4] >= threshold ? static_cast<float>(factor) : 0.0f;
  }
  /// How many keys, the first ones, query i of sequence n sees.
  LIMBECK_HD std::int64_t visible(std::int64_t n, std::int64_t i) const {
    const std::int64_t valid = length(n), seen = i + 1 + S - T;
    if (!causal || seen >= valid) return valid;
    return seen > 0 ? seen : 0;
  }
};

}  // namespace limbeck
