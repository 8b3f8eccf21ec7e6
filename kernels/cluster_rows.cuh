// SPDX-License-Identifier: Apache-2.0
// Internal: long rows on GPUs of sm_90 and later. A cluster of blocks stays for many rows; each of
// them it copies into its shared memory, once and in bulk, while it works on the row before.
#pragma once

#include <algorithm>

#include <limbeck/kernels/rows.cuh>

namespace limbeck::gpu {

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 1000
inline constexpr bool kUnrollsClusterRows = false;  // ptxas would spill registers
#else
inline constexpr bool kUnrollsClusterRows = true;
#endif

/// One cluster per row at a time. Of the 16-byte vectors between the row's first and last multiple
/// of 16 bytes each block has an equal share, up to kPacks per thread; the elements before and
/// after are block 0's, one per thread. All inputs and the output must agree about where the
/// vectors begin. Has RegisterRows' members; loops over a thread's packs are unrolled, so that it
/// can keep something of each element, where kKeeps. What is summed in which order depends on T, V,
/// the cluster's size and the row's first address.
template <class T, int kInputs, int kThreads, int kPacks, int kStages, bool kKeeps>
class ClusterRows {
 public:
  using Element = T;
  using Args = RowsArgs<T, kInputs>;
  static constexpr int kBlockThreads = kThreads;
  static constexpr bool kUnrolls = kKeeps && kUnrollsClusterRows;
  static constexpr int kKept = kUnrolls ? kPacks * kLanes<T> + 1 : 0;

  /// Whether a cluster of that many blocks can hold rows of V elements.
  static bool fits(int V, unsigned blocks) { return share(V, blocks) <= kThreads * kPacks; }
  static Launch launch(const char* name, const Args& args, unsigned blocks) {
    Launch launch{name, blocks, kThreads};
    launch.cluster = blocks;
    launch.dynamic_shared = std::size_t{kStages} * stage_bytes(args.columns, blocks);
    return launch;
  }

  template <class Fn>
  LIMBECK_DEVICE static void for_each_row(const Args& args, Fn fn) {
    LIMBECK_DYNAMIC_SHARED(char, stages);
    LIMBECK_SHARED(CopyBarrier, ready, [kStages]);
    if (thread() == 0)
      for (int s = 0; s < kStages; ++s) init_barrier(ready[s], 1);
    sync_cluster();  // the barriers are there, and so are the other blocks
    const unsigned blocks = cluster_size(), bytes = stage_bytes(args.columns, blocks);
    const std::int64_t step = gridDim.x / blocks;
    std::int64_t row = blockIdx.x / blocks;
    for (int s = 0; s < kStages; ++s)
      start_copies(args, row + s * step, stages + s * bytes, ready[s]);
    unsigned exchanges = 0;
    for (unsigned turn = 0; row < args.rows; row += step, ++turn) {
      const unsigned s = turn % kStages;
      wait_barrier(ready[s], turn / kStages % 2);
      fn(ClusterRows(args, row, stages + s * bytes, exchanges), row);
      fence_copies();
      sync_block();  // the stage has been read
      start_copies(args, row + kStages * step, stages + s * bytes, ready[s]);
    }
  }

  template <class Fn>
  LIMBECK_DEVICE void each(Fn fn) const {
    LIMBECK_UNROLL_BY(kTogether)
    for (int i = 0; i < kPacks; ++i)
      if (thread() + i * kThreads < part_.vectors) fn(load(i));
    if (edge_.first >= 0) fn(edge_);
  }
  template <class Fn>
  LIMBECK_DEVICE void write(Fn fn) const {
    LIMBECK_UNROLL_BY(kTogether)
    for (int i = 0; i < kPacks; ++i) {
      if (thread() + i * kThreads >= part_.vectors) continue;
      const auto pack = load(i);
      Vector<T> vector;
      LIMBECK_UNROLL
      for (int j = 0; j < kLanes<T>; ++j) vector.lane[j] = T(fn(pack, j));
      if (out_) store_vector(out_ + pack.first, vector);
    }
    if (edge_.first < 0) return;
    const float value = fn(edge_, 0);
    if (out_) out_[edge_.first] = T(value);
  }
  template <int kCount, class Value, class Op>
  LIMBECK_DEVICE void reduce(Value (&value)[kCount], Op op) const {
    block_reduce<kThreads>(value, op);
    if (cluster_size() > 1) cluster_reduce(value, op, exchanges_++);
  }
  LIMBECK_DEVICE float at(int k, int column) const { return static_cast<float>(in_[k][column]); }
  LIMBECK_DEVICE bool leader() const { return thread() == 0 && cluster_rank() == 0; }

 private:
  static constexpr int kTogether = kUnrolls ? kPacks : 1;
  /// What a block has of a row: `vectors` of them from column `first` on.
  struct Part {
    int first, vectors;
  };

  LIMBECK_DEVICE ClusterRows(const Args& args, std::int64_t row, const char* stage,
                             unsigned& exchanges)
      : out_(args.out ? args.out + row * args.columns : nullptr),
        stage_(stage),
        share_(share(args.columns, cluster_size())),
        part_(part(args, row)),
        exchanges_(exchanges) {
    LIMBECK_UNROLL
    for (int k = 0; k < kInputs; ++k) in_[k] = args.in[k] + row * args.columns;
    // Block 0's first threads have what lies before the vectors, its next what lies behind them.
    const int before = head(args, row), behind = before + vectors(args, row) * kLanes<T>;
    const int mine = thread() < kLanes<T> ? thread() : behind + thread() - kLanes<T>;
    const int end = thread() < kLanes<T> ? before : args.columns;
    edge_.first = cluster_rank() == 0 && mine < end ? mine : -1;
    edge_.columns = args.columns;
    edge_.slot = kPacks * kLanes<T>;
    LIMBECK_UNROLL
    for (int k = 0; k < kInputs; ++k) edge_.z[k][0] = edge_.first >= 0 ? at(k, edge_.first) : 0.0f;
  }

  LIMBECK_DEVICE static int thread() { return static_cast<int>(threadIdx.x); }
  /// Vectors each block has room for.
  LIMBECK_HD static int share(int V, unsigned blocks) {
    return (V / kLanes<T> + static_cast<int>(blocks) - 1) / static_cast<int>(blocks);
  }
  LIMBECK_HD static unsigned stage_bytes(int V, unsigned blocks) {
    return static_cast<unsigned>(share(V, blocks)) * 16 * kInputs;
  }
  /// Elements before the row's first multiple of 16 bytes.
  LIMBECK_DEVICE static int head(const Args& args, std::int64_t row) {
    const unsigned beyond = misalignment(args.in[0] + row * args.columns);
    return static_cast<int>((16 - beyond) % 16 / sizeof(T));
  }
  LIMBECK_DEVICE static int vectors(const Args& args, std::int64_t row) {
    return (args.columns - head(args, row)) / kLanes<T>;
  }
  LIMBECK_DEVICE static Part part(const Args& args, std::int64_t row) {
    const int room = share(args.columns, cluster_size());
    const int begin = static_cast<int>(cluster_rank()) * room;
    const int left = vectors(args, row) - begin, count = left < room ? left : room;
    return {head(args, row) + begin * kLanes<T>, count > 0 ? count : 0};
  }

  LIMBECK_DEVICE static void start_copies(const Args& args, std::int64_t row, char* stage,
                                          CopyBarrier& ready) {
    if (thread() != 0 || row >= args.rows) return;
    const Part mine = part(args, row);
    const unsigned bytes = static_cast<unsigned>(mine.vectors) * 16;
    const int room = share(args.columns, cluster_size()) * 16;
    arrive_expecting(ready, kInputs * bytes);
    if (bytes == 0) return;
    for (int k = 0; k < kInputs; ++k)
      copy_bulk(stage + k * room, args.in[k] + row * args.columns + mine.first, bytes, ready);
  }

  /// The thread's vector number i.
  LIMBECK_DEVICE Pack<kInputs, kLanes<T>, 1> load(int i) const {
    const int v = thread() + i * kThreads;
    Pack<kInputs, kLanes<T>, 1> pack;
    pack.first = part_.first + v * kLanes<T>;
    pack.columns = edge_.columns;
    pack.slot = i * kLanes<T>;
    LIMBECK_UNROLL
    for (int k = 0; k < kInputs; ++k) {
      const auto vector = load_vector(reinterpret_cast<const T*>(stage_ + (k * share_ + v) * 16));
      LIMBECK_UNROLL
      for (int j = 0; j < kLanes<T>; ++j) pack.z[k][j] = static_cast<float>(vector.lane[j]);
    }
    return pack;
  }

  const T* in_[kInputs];
  T* out_;
  const char* stage_;
  int share_;
  Part part_;
  Pack<kInputs, 1, 1> edge_;  // none where first < 0
  unsigned& exchanges_;
};

/// Launches the kernel that kernel_of(tag) names, for args.rows rows of Rows, if the
/// device has clusters that can hold one; says whether it did.
template <class Rows, class KernelOf, class... Params>
bool launch_clusters(TypeTag<Rows> tag, const char* name, const typename Rows::Args& args,
                     KernelOf kernel_of, const Params&... params) {
  const auto kernel = kernel_of(tag);
  for (unsigned blocks = 1; blocks <= kMaxCluster; blocks *= 2) {
    if (!Rows::fits(args.columns, blocks)) continue;
    Launch launch = Rows::launch(name, args, blocks);
    const unsigned clusters = max_clusters(launch, kernel);
    if (clusters == 0) continue;
    launch.grid.x = blocks * static_cast<unsigned>(std::min<std::int64_t>(clusters, args.rows));
    gpu::launch(launch, kernel, params...);
    return true;
  }
  return false;
}

/// Whether all of args begin equally far from a multiple of 16 bytes.
template <class T, int kInputs>
bool equally_aligned(const RowsArgs<T, kInputs>& args) {
  const unsigned beyond = misalignment(args.in[0]);
  return std::ranges::all_of(args.in, [=](const T* p) { return misalignment(p) == beyond; }) &&
         (args.out == nullptr || misalignment(args.out) == beyond);
}

/// Launches the kernel that kernel_of(TypeTag<Rows>{}) names with the best Rows for args; with
/// kKeeps those that have room to keep something of each element, if any have.
template <bool kKeeps, class T, int kInputs, class KernelOf, class... Params>
void launch_rows(const char* name, const RowsArgs<T, kInputs>& args, KernelOf kernel_of,
                 const Params&... params) {
  constexpr int kThreads = kKeeps ? 512 : 256;  // of those that keep nothing each has more to do
  const auto launched = [&](auto tag) {
    return launch_clusters(tag, name, args, kernel_of, params...);
  };
  if (args.columns > 1024 && compute_capability() >= 90 && equally_aligned(args)) {
    if (args.columns <= 512 * kLanes<T>) {
      if (launched(TypeTag<ClusterRows<T, kInputs, 128, 4, 2, kKeeps>>{})) return;
    } else {
      if (launched(TypeTag<ClusterRows<T, kInputs, kThreads, 2048 / kThreads, 2, kKeeps>>{}))
        return;
      if constexpr (sizeof(T) == 4)  // the longest rows leave no room for two
        if (launched(TypeTag<ClusterRows<T, kInputs, kThreads, 4096 / kThreads, 1, kKeeps>>{}))
          return;
    }
  }
  visit_rows<T, kInputs>(args.columns, [&]<class Rows>(TypeTag<Rows> tag) {
    gpu::launch(rows_launch<Rows>(name, args.rows), kernel_of(tag), params...);
  });
}

}  // namespace limbeck::gpu
