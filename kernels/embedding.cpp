// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/embedding.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include <limbeck/core/dispatch.h>
#include <limbeck/core/parallel.h>
#include <limbeck/core/simd.h>
#include <limbeck/kernels/joined_parts.h>

namespace limbeck {
namespace {

// table is weight or dweight, rows y or dy.
void check(const char* op, const char* table_name, const Tensor& table, const char* rows_name,
           const Tensor& rows, const Tensor& ids) {
  LIMBECK_CHECK(table.defined() && rows.defined() && ids.defined(), op, ": ", table_name, ", ",
                rows_name, " or ids is undefined");
  LIMBECK_CHECK(
      table.rank() == 2 && table.dim(0) >= 1 && table.dim(1) >= 1 && is_floating(table.dtype()), op,
      ": ", table_name, " is ", table.dtype(), table.shape(),
      "; expected a floating (V,D) with V and D >= 1");
  LIMBECK_CHECK(ids.dtype() == DType::i32, op, ": ids is ", ids.dtype(), "; expected i32");
  LIMBECK_CHECK(ids.device() == table.device() && rows.device() == table.device(), op, ": ",
                table_name, " is on ", table.device(), ", ", rows_name, " on ", rows.device(),
                ", ids on ", ids.device(), "; expected one device");
  const bool fits = rows.rank() == ids.rank() + 1 && rows.dim(ids.rank()) == table.dim(1) &&
                    std::equal(ids.shape().begin(), ids.shape().end(), rows.shape().begin());
  LIMBECK_CHECK(fits && rows.dtype() == table.dtype(), op, ": ", rows_name, " is ", rows.dtype(),
                rows.shape(), ", ids ", ids.shape(), ", ", table_name, " ", table.dtype(),
                table.shape(), "; expected (...,D) of one dtype with ids (...)");
  if (table.device().is_cuda()) return;
  const std::int32_t* id = ids.data<std::int32_t>();
  for (std::int64_t n = 0; n < ids.numel(); ++n)
    LIMBECK_CHECK(0 <= id[n] && id[n] < table.dim(0), op, ": id ", n, " is ", id[n],
                  "; expected 0 to ", table.dim(0) - 1);
}

}  // namespace

void embedding_forward(Tensor& y, const Tensor& weight, const Tensor& ids) {
  check("embedding_forward", "weight", weight, "y", y, ids);
  EmbeddingPart parts[] = {{y, weight}};
  LIMBECK_DISPATCH(y.device(), joined_embedding_forward(parts, ids));
}

void joined_embedding_forward(std::span<EmbeddingPart> parts, const Tensor& ids) {
  constexpr const char* kOp = "joined_embedding";
  check_joined_count(kOp, parts.size());
  for (const EmbeddingPart& part : parts) {
    check(kOp, "weight", part.weight, "y", part.y, ids);
    LIMBECK_CHECK(part.weight.dtype() == parts[0].weight.dtype(), kOp, ": weights are ",
                  parts[0].weight.dtype(), " and ", part.weight.dtype(), "; expected one dtype");
  }
  LIMBECK_DISPATCH(ids.device(), joined_embedding_forward(parts, ids));
}

void embedding_backward(Tensor& dweight, const Tensor& dy, const Tensor& ids,
                        std::int64_t padding_idx, Out out) {
  check("embedding_backward", "dweight", dweight, "dy", dy, ids);
  LIMBECK_CHECK(-1 <= padding_idx && padding_idx < dweight.dim(0),
                "embedding_backward: padding_idx is ", padding_idx, "; expected -1 to ",
                dweight.dim(0) - 1);
  LIMBECK_DISPATCH(dy.device(), embedding_backward(dweight, dy, ids, padding_idx, out));
}

namespace cpu {
namespace {

constexpr std::int64_t kPiece = 32768;  // elements per task, about
constexpr std::int64_t kColumns = 64;   // columns summed at once

// The tokens of each id, in their order: order[first[v]] to order[first[v + 1] - 1].
struct TokensById {
  std::vector<std::int64_t> first, order;

  TokensById(const std::int32_t* id, std::int64_t N, std::int64_t V)
      : first(static_cast<std::size_t>(V) + 1), order(static_cast<std::size_t>(N)) {
    for (std::int64_t n = 0; n < N; ++n) ++first[static_cast<std::size_t>(id[n]) + 1];
    for (std::size_t v = 1; v < first.size(); ++v) first[v] += first[v - 1];
    std::vector<std::int64_t> next(first.begin(), first.end() - 1);
    for (std::int64_t n = 0; n < N; ++n)
      order[static_cast<std::size_t>(next[static_cast<std::size_t>(id[n])]++)] = n;
  }
};

// One chain over the tokens [token, end) for each column of a row of dweight.
template <class T>
void sum_tokens(T* dweight, const T* dy, const std::int64_t* token, const std::int64_t* end,
                std::int64_t D, Out out) {
  using F = ComputeType<T>;
  for (std::int64_t c = 0; c < D; c += kColumns) {
    const std::int64_t columns = std::min(kColumns, D - c);
    F chain[kColumns] = {};
    for (std::int64_t j = 0; out == Out::add && j < columns; ++j)
      chain[j] = static_cast<F>(dweight[c + j]);
    for (const std::int64_t* n = token; n < end; ++n) {
      const T* row = dy + *n * D + c;
#pragma omp simd
      for (std::int64_t j = 0; j < columns; ++j) chain[j] += static_cast<F>(row[j]);
    }
    for (std::int64_t j = 0; j < columns; ++j) dweight[c + j] = T(chain[j]);
  }
}

}  // namespace

void joined_embedding_forward(std::span<EmbeddingPart> parts, const Tensor& ids) {
  struct Rows {
    char* to;
    const char* from;
    std::size_t bytes;
  };
  std::vector<Rows> tables;
  std::int64_t width = 0;  // of a token, in all tables
  for (EmbeddingPart& part : parts) {
    width += part.weight.dim(1);
    tables.push_back({static_cast<char*>(part.y.raw()), static_cast<const char*>(part.weight.raw()),
                      part.weight.nbytes() / static_cast<std::size_t>(part.weight.dim(0))});
  }
  const std::int32_t* id = ids.data<std::int32_t>();
  parallel_ranges(ids.numel(), kPiece / width + 1, [&](std::int64_t begin, std::int64_t end) {
    for (const auto& [to, from, bytes] : tables)
      for (std::int64_t n = begin; n < end; ++n)
        std::memcpy(to + static_cast<std::size_t>(n) * bytes,
                    from + static_cast<std::size_t>(id[n]) * bytes, bytes);
  });
}

void embedding_backward(Tensor& dweight, const Tensor& dy, const Tensor& ids,
                        std::int64_t padding_idx, Out out) {
  const std::int64_t V = dweight.dim(0), D = dweight.dim(1);
  const TokensById tokens(ids.data<std::int32_t>(), ids.numel(), V);
  const std::int64_t *first = tokens.first.data(), *order = tokens.order.data();
  visit_floating(dy.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    T* sums = dweight.data<T>();
    const T* rows = dy.data<T>();
    parallel_ranges(V, kPiece / D + 1, [=](std::int64_t begin, std::int64_t end) {
      simd([=](auto) {
        for (std::int64_t v = begin; v < end; ++v) {
          const std::int64_t* token = order + first[v];
          const std::int64_t* last = v == padding_idx ? token : order + first[v + 1];
          if (token == last && out == Out::add) continue;
          sum_tokens(sums + v * D, rows, token, last, D, out);
        }
      });
    });
  });
}

}  // namespace cpu
}  // namespace limbeck
