// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/embedding.h>

#include <algorithm>

#include <limbeck/kernels/joined_parts.h>
#include <limbeck/kernels/gpu_types.cuh>

namespace limbeck::cuda {
namespace {

constexpr int kThreads = 256;

struct Ids {
  const std::int32_t* id;  // (N)
  std::int64_t N, V;
  std::int64_t padding;  // what backward leaves out; -1: nothing

  LIMBECK_DEVICE bool counts(std::int64_t n) const {
    return 0 <= id[n] && id[n] < V && id[n] != padding;
  }
};

template <class T>
LIMBECK_DEVICE gpu::Vector<T> load(const gpu::Vector<T>* p) {
  return gpu::load_vector(p->lane);
}
template <class T>
LIMBECK_DEVICE void store(gpu::Vector<T>* p, const gpu::Vector<T>& v) {
  gpu::store_vector(p->lane, v);
}
template <class T>
LIMBECK_DEVICE T load(const T* p) {
  return *p;
}
template <class T>
LIMBECK_DEVICE void store(T* p, const T& v) {
  *p = v;
}
template <class T>
LIMBECK_DEVICE void poison(gpu::Vector<T>& v) {
  for (int lane = 0; lane < gpu::kLanes<T>; ++lane) v.lane[lane] = T(__builtin_nanf(""));
}
template <class T>
LIMBECK_DEVICE void poison(T& v) {
  v = T(__builtin_nanf(""));
}

/// Tables of units U, an element or 16 bytes of them.
template <class U>
struct Tables {
  struct One {
    U* y;
    const U* weight;
    std::int64_t V, row_units;
  };
  One of[kMaxJoined];
  std::int64_t token_units;  // of a token, in all tables
};

/// One thread per unit; reads and writes N rows of each table.
template <class U>
LIMBECK_KERNEL embedding_forward_kernel(Tables<U> tables, const std::int32_t* id, std::int64_t N) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= N * tables.token_units) return;
  const std::int64_t n = i / tables.token_units, v = id[n];
  std::int64_t column = i - n * tables.token_units;
  int k = 0;
  for (; column >= tables.of[k].row_units; ++k) column -= tables.of[k].row_units;
  const auto& table = tables.of[k];
  U unit;
  if (0 <= v && v < table.V)
    unit = load(table.weight + (v * table.row_units + column));
  else
    poison(unit);
  store(table.y + (n * table.row_units + column), unit);
}

/// Where the tokens of each id are: those of v are order[first[v]] to order[first[v + 1] - 1].
struct Buckets {
  unsigned* count;        // (V), 0 at first
  unsigned* taken;        // (V), 0 at first
  unsigned* first;        // (V+1)
  std::int32_t* arrived;  // (N) tokens by id, those of one id in any order
  std::int32_t* order;    // (N) and in their order
};

/// One thread per token. Sums of integers are the same in any order.
LIMBECK_KERNEL embedding_count_kernel(Buckets buckets, Ids ids) {
  const std::int64_t n = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (n < ids.N && ids.counts(n)) gpu::atomic_add(&buckets.count[ids.id[n]], 1u);
}

/// One block: each thread sums a range of ids, thread 0 the ranges.
LIMBECK_KERNEL embedding_first_kernel(Buckets buckets, std::int64_t V) {
  LIMBECK_SHARED(unsigned, before, [kThreads]);
  const std::int64_t range = (V + kThreads - 1) / kThreads;
  const std::int64_t begin = threadIdx.x * range;
  const std::int64_t end = begin + range < V ? begin + range : V;
  unsigned sum = 0;
  for (std::int64_t v = begin; v < end; ++v) sum += buckets.count[v];
  before[threadIdx.x] = sum;
  gpu::sync_block();
  if (threadIdx.x == 0) {
    unsigned total = 0;
    for (int i = 0; i < kThreads; ++i) {
      const unsigned own = before[i];
      before[i] = total;
      total += own;
    }
    buckets.first[V] = total;
  }
  gpu::sync_block();
  sum = before[threadIdx.x];
  for (std::int64_t v = begin; v < end; ++v) {
    buckets.first[v] = sum;
    sum += buckets.count[v];
  }
}

/// One thread per token.
LIMBECK_KERNEL embedding_arrive_kernel(Buckets buckets, Ids ids) {
  const std::int64_t n = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (n >= ids.N || !ids.counts(n)) return;
  const std::int32_t v = ids.id[n];
  const unsigned place = buckets.first[v] + gpu::atomic_add(&buckets.taken[v], 1u);
  buckets.arrived[place] = static_cast<std::int32_t>(n);
}

/// One thread per token: its place is how many of its id come before it, whoever arrived when.
LIMBECK_KERNEL embedding_order_kernel(Buckets buckets, Ids ids) {
  const std::int64_t n = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (n >= ids.N || !ids.counts(n)) return;
  const std::int32_t v = ids.id[n];
  const unsigned begin = buckets.first[v], end = buckets.first[v + 1];
  unsigned place = begin;
  for (unsigned i = begin; i < end; ++i) place += buckets.arrived[i] < n ? 1u : 0u;
  buckets.order[place] = static_cast<std::int32_t>(n);
}

/// One thread per element of dweight; reads N*D, writes V*D (those with tokens, when adding).
template <class T>
LIMBECK_KERNEL embedding_sum_kernel(T* dweight, const T* dy, Buckets buckets, std::int64_t size,
                                    std::int64_t D, bool add) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= size) return;
  const std::int64_t v = i / D, c = i - v * D;
  const unsigned begin = buckets.first[v], end = buckets.first[v + 1];
  if (begin == end && add) return;
  float sum = add ? static_cast<float>(dweight[i]) : 0.0f;
  for (unsigned k = begin; k < end; ++k)
    sum += static_cast<float>(dy[std::int64_t{buckets.order[k]} * D + c]);
  dweight[i] = T(sum);
}

template <class U, class T>
void launch_forward(std::span<EmbeddingPart> parts, const Tensor& ids) {
  Tables<U> tables{};
  for (std::size_t k = 0; k < parts.size(); ++k) {
    const Tensor& weight = parts[k].weight;
    const auto row_units =
        weight.dim(1) * static_cast<std::int64_t>(sizeof(T)) / static_cast<std::int64_t>(sizeof(U));
    tables.of[k] = {reinterpret_cast<U*>(parts[k].y.template data<T>()),
                    reinterpret_cast<const U*>(weight.data<T>()), weight.dim(0), row_units};
    tables.token_units += row_units;
  }
  const std::int64_t N = ids.numel();
  gpu::launch({"embedding_forward", gpu::blocks_for(N * tables.token_units, kThreads), kThreads},
              embedding_forward_kernel<U>, tables, ids.data<std::int32_t>(), N);
}

void sort_tokens(const Buckets& buckets, const Ids& ids) {
  const unsigned blocks = gpu::blocks_for(ids.N > 0 ? ids.N : 1, kThreads);
  gpu::launch({"embedding_count", blocks, kThreads}, embedding_count_kernel, buckets, ids);
  gpu::launch({"embedding_first", 1, kThreads}, embedding_first_kernel, buckets, ids.V);
  gpu::launch({"embedding_arrive", blocks, kThreads}, embedding_arrive_kernel, buckets, ids);
  gpu::launch({"embedding_order", blocks, kThreads}, embedding_order_kernel, buckets, ids);
}

}  // namespace

void joined_embedding_forward(std::span<EmbeddingPart> parts, const Tensor& ids) {
  if (ids.numel() == 0) return;
  gpu::visit_gpu_floating("embedding_forward", parts[0].y.dtype(), [&]<class T>(TypeTag<T>) {
    const bool whole = std::all_of(parts.begin(), parts.end(), [](const EmbeddingPart& part) {
      return (gpu::misalignment(part.y.raw()) | gpu::misalignment(part.weight.raw())) == 0 &&
             part.weight.dim(1) % gpu::kLanes<T> == 0;
    });
    if (whole)
      launch_forward<gpu::Vector<T>, T>(parts, ids);
    else
      launch_forward<T, T>(parts, ids);
  });
}

void embedding_backward(Tensor& dweight, const Tensor& dy, const Tensor& ids,
                        std::int64_t padding_idx, Out out) {
  const std::int64_t V = dweight.dim(0), D = dweight.dim(1), N = ids.numel();
  Tensor counts = Tensor::zeros({2 * V}, DType::i32, dy.device());
  Tensor places = Tensor::empty({V + 1 + 2 * N}, DType::i32, dy.device());
  std::int32_t *count = counts.data<std::int32_t>(), *place = places.data<std::int32_t>();
  const Buckets buckets{reinterpret_cast<unsigned*>(count), reinterpret_cast<unsigned*>(count + V),
                        reinterpret_cast<unsigned*>(place), place + V + 1, place + V + 1 + N};
  sort_tokens(buckets, {ids.data<std::int32_t>(), N, V, padding_idx});
  gpu::visit_gpu_floating("embedding_backward", dy.dtype(), [&]<class T>(TypeTag<T>) {
    gpu::launch({"embedding_sum", gpu::blocks_for(V * D, kThreads), kThreads},
                embedding_sum_kernel<T>, dweight.data<T>(), dy.data<T>(), buckets, V * D, D,
                out == Out::add);
  });
}

}  // namespace limbeck::cuda
