// SPDX-License-Identifier: Apache-2.0
// Internal: how kernels walk along the rows of (N,V) matrices. Short rows (V <= 1024) are read once
// and kept in the registers of a warp, or of four; longer ones belong to a block, which reads them
// 16 bytes per thread and again for each further pass, mostly from L2. A kernel is written once for
// both, and for the rows of cluster_rows.cuh.
#pragma once

#include <limbeck/kernels/gpu_types.cuh>
#include <limbeck/kernels/warp.cuh>

namespace limbeck::gpu {

/// A thread's kSize elements of each of kInputs rows; element j is column first + j kStep.
template <int kInputs, int kSize, int kStep>
struct Pack {
  static constexpr int size = kSize;
  float z[kInputs][kSize];
  int first;
  int columns;
  int slot = 0;  ///< element j is number slot + j of the Rows::kKept a thread has of a row

  LIMBECK_DEVICE int column(int j) const { return first + j * kStep; }
  /// Whether element j exists: a lane's share of a short row may reach beyond its end.
  LIMBECK_DEVICE bool holds(int j) const { return kStep == 1 || column(j) < columns; }
};

template <class T, int kInputs>
struct RowsArgs {
  const T* in[kInputs];  // (rows, columns) each
  T* out;                // likewise, may be one of in; or null
  std::int64_t rows;
  int columns;
};

/// kThreads threads per row, a warp or a block, with kThreads * kPerThread >= V; read once.
template <class T, int kInputs, int kThreads, int kPerThread>
class RegisterRows {
 public:
  using Element = T;
  static constexpr bool kOneWarp = kThreads == kWarp;
  static constexpr int kBlockRows = kOneWarp ? 4 : 1;
  static constexpr int kBlockThreads = kBlockRows * kThreads;
  /// A thread's elements, where a kernel may keep something of each; 0 where they are too many.
  static constexpr int kKept = kPerThread;

  LIMBECK_DEVICE static std::int64_t row() {
    return std::int64_t{blockIdx.x} * kBlockRows + static_cast<int>(threadIdx.x) / kThreads;
  }
  LIMBECK_DEVICE RegisterRows(const RowsArgs<T, kInputs>& args, std::int64_t row)
      : out_(args.out ? args.out + row * args.columns : nullptr) {
    pack_.first = static_cast<int>(threadIdx.x) % kThreads;
    pack_.columns = args.columns;
    LIMBECK_UNROLL
    for (int k = 0; k < kInputs; ++k) {
      const T* in = in_[k] = args.in[k] + row * args.columns;
      LIMBECK_UNROLL
      for (int j = 0; j < kPerThread; ++j)
        pack_.z[k][j] = pack_.holds(j) ? static_cast<float>(in[pack_.column(j)]) : 0.0f;
    }
  }

  /// Calls fn(rows, row) for the rows of which the calling thread has a part.
  template <class Fn>
  LIMBECK_DEVICE static void for_each_row(const RowsArgs<T, kInputs>& args, Fn fn) {
    if (row() < args.rows) fn(RegisterRows(args, row()), row());
  }

  /// Calls fn(pack) for all of the row.
  template <class Fn>
  LIMBECK_DEVICE void each(Fn fn) const {
    fn(pack_);
  }
  /// Calls fn(pack, j) for every element and writes what it returns to out, if there is one.
  template <class Fn>
  LIMBECK_DEVICE void write(Fn fn) const {
    if constexpr (kOneWarp) sync_warp();  // at() has read what is overwritten here
    LIMBECK_UNROLL
    for (int j = 0; j < kPerThread; ++j) {
      if (!pack_.holds(j)) continue;
      const float value = fn(pack_, j);
      if (out_) out_[pack_.column(j)] = T(value);
    }
  }
  /// Combines values over the row's threads.
  template <int kCount, class Value, class Op>
  LIMBECK_DEVICE void reduce(Value (&value)[kCount], Op op) const {
    if constexpr (kOneWarp)
      warp_reduce(value, op);
    else
      block_reduce<kThreads>(value, op);
  }
  /// Element `column` of input k. A block must call reduce between this and write, as out may be
  /// the input.
  LIMBECK_DEVICE float at(int k, int column) const { return static_cast<float>(in_[k][column]); }
  LIMBECK_DEVICE bool leader() const { return pack_.first == 0; }

 private:
  const T* in_[kInputs];
  T* out_;
  Pack<kInputs, kPerThread, kThreads> pack_;
};

/// One block per row. Rows need not begin at a multiple of 16 bytes: the elements before the first
/// such address and after the last are read one by one; all of them are, when the tensors disagree
/// about where that address is.
template <class T, int kInputs>
class BlockRows {
 public:
  using Element = T;
  static constexpr int kBlockRows = 1;
  static constexpr int kBlockThreads = 512;
  static constexpr int kKept = 0;

  LIMBECK_DEVICE static std::int64_t row() { return blockIdx.x; }
  LIMBECK_DEVICE BlockRows(const RowsArgs<T, kInputs>& args, std::int64_t row)
      : out_(args.out ? args.out + row * args.columns : nullptr), columns_(args.columns) {
    LIMBECK_UNROLL
    for (int k = 0; k < kInputs; ++k) in_[k] = args.in[k] + row * args.columns;
    const unsigned beyond = misalignment(in_[0]);
    bool agree = out_ == nullptr || misalignment(out_) == beyond;
    for (int k = 1; k < kInputs; ++k) agree = agree && misalignment(in_[k]) == beyond;
    const int head = static_cast<int>((16 - beyond) % 16 / sizeof(T));
    head_ = agree && head < columns_ ? head : columns_;
    tail_ = head_ + (columns_ - head_) / kLanes<T> * kLanes<T>;
  }

  template <class Fn>
  LIMBECK_DEVICE static void for_each_row(const RowsArgs<T, kInputs>& args, Fn fn) {
    fn(BlockRows(args, row()), row());
  }

  template <class Fn>
  LIMBECK_DEVICE void each(Fn fn) const {
    for (int v = thread(); v < head_; v += kBlockThreads) fn(load_one(v));
    for (int v = head_ + thread() * kLanes<T>; v < tail_; v += kBlockThreads * kLanes<T>)
      fn(load_many(v));
    if (tail_ + thread() < columns_) fn(load_one(tail_ + thread()));
  }
  template <class Fn>
  LIMBECK_DEVICE void write(Fn fn) const {
    for (int v = thread(); v < head_; v += kBlockThreads) write_one(v, fn);
    for (int v = head_ + thread() * kLanes<T>; v < tail_; v += kBlockThreads * kLanes<T>) {
      const auto pack = load_many(v);
      Vector<T> vector;
      LIMBECK_UNROLL
      for (int j = 0; j < kLanes<T>; ++j) vector.lane[j] = T(fn(pack, j));
      if (out_) store_vector(out_ + v, vector);
    }
    if (tail_ + thread() < columns_) write_one(tail_ + thread(), fn);
  }
  template <int kCount, class Value, class Op>
  LIMBECK_DEVICE void reduce(Value (&value)[kCount], Op op) const {
    block_reduce<kBlockThreads>(value, op);
  }
  LIMBECK_DEVICE float at(int k, int column) const { return static_cast<float>(in_[k][column]); }
  LIMBECK_DEVICE bool leader() const { return threadIdx.x == 0; }

 private:
  LIMBECK_DEVICE static int thread() { return static_cast<int>(threadIdx.x); }
  LIMBECK_DEVICE Pack<kInputs, 1, 1> load_one(int v) const {
    Pack<kInputs, 1, 1> pack;
    pack.first = v;
    pack.columns = columns_;
    LIMBECK_UNROLL
    for (int k = 0; k < kInputs; ++k) pack.z[k][0] = static_cast<float>(in_[k][v]);
    return pack;
  }
  LIMBECK_DEVICE Pack<kInputs, kLanes<T>, 1> load_many(int v) const {
    Pack<kInputs, kLanes<T>, 1> pack;
    pack.first = v;
    pack.columns = columns_;
    LIMBECK_UNROLL
    for (int k = 0; k < kInputs; ++k) {
      const Vector<T> vector = load_vector(in_[k] + v);
      LIMBECK_UNROLL
      for (int j = 0; j < kLanes<T>; ++j) pack.z[k][j] = static_cast<float>(vector.lane[j]);
    }
    return pack;
  }
  template <class Fn>
  LIMBECK_DEVICE void write_one(int v, Fn fn) const {
    const float value = fn(load_one(v), 0);
    if (out_) out_[v] = T(value);
  }

  const T* in_[kInputs];
  T* out_;
  int columns_;
  int head_;  // [0, head_) and [tail_, columns_) are read one by one
  int tail_;
};

/// The launch that gives every row its threads; rows >= 1.
template <class Rows>
Launch rows_launch(const char* name, std::int64_t rows) {
  return {name, blocks_for(rows, Rows::kBlockRows), Rows::kBlockThreads};
}

/// Calls fn(TypeTag<Rows>{}) with the way to walk along rows of V elements.
template <class T, int kInputs, class Fn>
void visit_rows(std::int64_t V, Fn fn) {
  if (V <= 32) return fn(TypeTag<RegisterRows<T, kInputs, kWarp, 1>>{});
  if (V <= 128) return fn(TypeTag<RegisterRows<T, kInputs, kWarp, 4>>{});
  if (V <= 256) return fn(TypeTag<RegisterRows<T, kInputs, kWarp, 8>>{});
  if (V <= 1024) return fn(TypeTag<RegisterRows<T, kInputs, 128, 8>>{});
  fn(TypeTag<BlockRows<T, kInputs>>{});
}

}  // namespace limbeck::gpu
