// SPDX-License-Identifier: Apache-2.0
#include <limbeck/distill/token_source.h>

#include <algorithm>
#include <cstring>

#include <limbeck/core/error.h>
#include <limbeck/kernels/cross_entropy.h>

namespace limbeck {

std::uint32_t TokenRow::operator[](std::int64_t i) const {
  const auto* at = reinterpret_cast<const unsigned char*>(data.get()) + i * bytes;
  std::uint32_t token = 0;
  for (int b = bytes - 1; b >= 0; --b) token = token << 8 | at[b];
  return token;
}

TokenRow TokenRow::part(std::int64_t first, std::int64_t last) const {
  LIMBECK_CHECK(0 <= first && first <= last && last <= count, "TokenRow: part [", first, ", ", last,
                "); expected one of [0, ", count, ")");
  return {{data, data.get() + first * bytes}, last - first, bytes};
}

TokenRow token_row(const std::vector<std::uint32_t>& tokens) {
  const std::shared_ptr<char[]> memory(new char[tokens.size() * 4 + 1]);
  for (std::size_t i = 0; i < tokens.size(); ++i)
    for (unsigned b = 0; b < 4; ++b)
      memory[i * 4 + b] = static_cast<char>(tokens[i] >> (8 * b) & 0xffu);
  return {{memory, memory.get()}, static_cast<std::int64_t>(tokens.size()), 4};
}

TokenSource::TokenSource(TokenRow tokens, std::int64_t context, std::int64_t vocabulary,
                         Device device)
    : tokens_(std::move(tokens)), context_(context), vocabulary_(vocabulary), device_(device) {
  LIMBECK_CHECK(context >= 1, "TokenSource: context is ", context, "; expected at least 1");
  LIMBECK_CHECK(vocabulary >= 1 && vocabulary <= INT32_MAX, "TokenSource: vocabulary is ",
                vocabulary, "; expected 1 to ", INT32_MAX);
  LIMBECK_CHECK(tokens_.count >= 2, "TokenSource: ", tokens_.count,
                " tokens; expected at least 2, one to read and one to say");
  LIMBECK_CHECK(size() <= INT32_MAX, "TokenSource: ", size(), " windows; expected fewer than 2^31");
}

void TokenSource::begin_epoch(std::vector<std::int32_t> order, std::uint32_t) {
  order_ = std::move(order);
}

std::int32_t TokenSource::token(std::int64_t i) const {
  const std::uint32_t token = tokens_[i];
  LIMBECK_CHECK(token < static_cast<std::uint64_t>(vocabulary_), "TokenSource: token ", token,
                " at place ", i, "; expected 0 to ", vocabulary_ - 1);
  return static_cast<std::int32_t>(token);
}

Batch TokenSource::fetch(std::int64_t first, std::int64_t last, std::uint32_t) {
  const auto B = static_cast<std::size_t>(last - first), T = static_cast<std::size_t>(context_);
  const std::vector<std::int32_t> samples(order_.begin() + first, order_.begin() + last);
  std::vector<std::int32_t> x(B * T, 0), labels(B * T, kIgnoreIndex);
  std::int64_t targets = 0;
  for (std::size_t b = 0; b < B; ++b) {
    const std::int64_t begin = samples[b] * context_;
    const std::int64_t steps = std::min(context_, tokens_.count - 1 - begin);
    for (std::int64_t t = 0; t < steps; ++t) {
      const std::size_t at = b * T + static_cast<std::size_t>(t);
      x[at] = token(begin + t);
      labels[at] = token(begin + t + 1);
    }
    targets += steps;
  }
  Batch batch;
  batch.samples = Tensor::from(samples, {last - first}, device_);
  batch.x = Tensor::from(x, {last - first, context_}, device_);
  batch.labels = Tensor::from(labels, {last - first, context_}, device_);
  batch.targets = static_cast<double>(targets);
  return batch;
}

}  // namespace limbeck
