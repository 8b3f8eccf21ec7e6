// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/topk.h>

#include <algorithm>

#include <limbeck/core/dispatch.h>
#include <limbeck/kernels/log_sum.h>
#include <limbeck/kernels/masked_rows.h>
#include <limbeck/kernels/row_checks.h>
#include <limbeck/kernels/row_softmax.h>

namespace limbeck {
namespace {

void check_output(const char* what, const Tensor& t, const Shape& shape, DType dtype,
                  Device device) {
  LIMBECK_CHECK(t.shape() == shape && t.dtype() == dtype && t.device() == device, "topk: ", what,
                " is ", t.dtype(), t.shape(), " on ", t.device(), "; expected ", dtype, shape,
                " on ", device);
}

}  // namespace

void topk(Tensor& values, Tensor& indices, Tensor& rest_lse, const Tensor& logits, double tau) {
  check_rows("topk", "logits", logits);
  const std::int64_t N = logits.dim(0), V = logits.dim(1);
  LIMBECK_CHECK(values.rank() == 2 && values.dim(1) >= 1, "topk: values has shape ", values.shape(),
                "; expected (N,K) with K >= 1");
  const std::int64_t K = values.dim(1);
  LIMBECK_CHECK(K <= V && K <= kMaxTopk, "topk: K is ", K, ", logits has shape ", logits.shape(),
                "; expected K <= V and K <= ", kMaxTopk);
  const DType dtype = logits.dtype() == DType::f64 ? DType::f64 : DType::f32;
  check_output("values", values, {N, K}, dtype, logits.device());
  check_output("indices", indices, {N, K}, DType::i32, logits.device());
  if (rest_lse.defined()) {
    check_output("rest_lse", rest_lse, {N}, dtype, logits.device());
    check_tau("topk", tau);
  }
  LIMBECK_DISPATCH(logits.device(), topk(values, indices, rest_lse, logits, tau));
}

namespace cpu {
namespace {

/// Ascends with x; +0 and -0 are equal.
inline std::int64_t order_of(float x) {
  const auto bits = __builtin_bit_cast(std::int32_t, x + 0.0f);
  return bits < 0 ? bits ^ 0x7fffffff : bits;
}
inline std::int64_t order_of(double x) {
  const auto bits = __builtin_bit_cast(std::int64_t, x + 0.0);
  return bits < 0 ? bits ^ 0x7fffffffffffffff : bits;
}

struct Entry {
  std::int64_t order, index;

  bool is_worse_than(const Entry& other) const {
    return order < other.order || (order == other.order && index > other.index);
  }
};

/// The best elements seen, the worst of them at the root.
struct Heap {
  std::int64_t* order;
  std::int64_t* index;

  Entry at(std::int64_t i) const { return {order[i], index[i]}; }
  void put(std::int64_t i, const Entry& entry) {
    order[i] = entry.order;
    index[i] = entry.index;
  }
  /// Puts `entry` where it belongs, at i or below.
  void sift_down(std::int64_t i, std::int64_t size, const Entry& entry) {
    for (std::int64_t child = 2 * i + 1; child < size; child = 2 * i + 1) {
      if (child + 1 < size) child += at(child + 1).is_worse_than(at(child)) ? 1 : 0;
      if (!at(child).is_worse_than(entry)) break;
      put(i, at(child));
      i = child;
    }
    put(i, entry);
  }
  /// Best first.
  void sort(std::int64_t size) {
    while (size-- > 1) {
      const Entry worst = at(0), last = at(size);
      sift_down(0, size, last);
      put(size, worst);
    }
  }
};

/// Whether some x is above the threshold, and whether some is NaN or +inf.
struct Glance {
  int above, bad;
};
template <class F, class T>
Glance glance(const T* x, std::int64_t n, F threshold) {
  int above = 0, bad = 0;
#pragma omp simd reduction(| : above, bad)
  for (std::int64_t i = 0; i < n; ++i) {
    const F z = static_cast<F>(x[i]);
    above |= z > threshold;
    bad |= !(z < std::numeric_limits<F>::infinity());
  }
  return {above, bad};
}

// Few elements get in, so that most are only glanced at, some at a time. Returns false for a row
// without order.
template <class F, class T>
bool select(Heap best, std::int64_t K, const T* x, std::int64_t V) {
  constexpr std::int64_t kSome = kWideLanes;
  for (std::int64_t k = 0; k < K; ++k) best.put(k, {order_of(static_cast<F>(x[k])), k});
  for (std::int64_t k = K / 2; k-- > 0;) best.sift_down(k, K, best.at(k));
  int bad = glance(x, K, F(0)).bad;
  F threshold = static_cast<F>(x[best.index[0]]);
  for (std::int64_t begin = K; begin < V; begin += kSome) {
    const std::int64_t n = V - begin < kSome ? V - begin : kSome;
    const Glance seen = glance(x + begin, n, threshold);
    bad |= seen.bad;
    if (seen.above == 0) continue;
    for (std::int64_t v = begin; v < begin + n; ++v) {
      const F z = static_cast<F>(x[v]);
      if (!(z > threshold)) continue;
      best.sift_down(0, K, {order_of(z), v});
      threshold = static_cast<F>(x[best.index[0]]);
    }
  }
  best.sort(K);
  return bad == 0;
}

template <class F, class T>
void write_row(F* value, std::int32_t* index, Heap best, std::int64_t K, const T* x, bool ordered) {
  for (std::int64_t k = 0; k < K; ++k) {
    value[k] = ordered ? static_cast<F>(x[best.index[k]]) : std::numeric_limits<F>::quiet_NaN();
    index[k] = ordered ? static_cast<std::int32_t>(best.index[k]) : -1;
  }
}

template <class F, class Tile, class T>
void weigh_rest(const Tile& tile, F* scratch, F* rest_lse, const T* x, const std::int32_t* indices,
                std::int64_t K, double tau) {
  const MaskedInput rest(tile, x, scratch, scratch + tile.size(), indices, K);
  RowSoftmax<F> r;
  row_softmax<Keep::no, AddIn::f64>(tile, rest, static_cast<F>(1 / tau), r, scratch);
  for (std::int64_t row = 0; row < tile.count; ++row) {
    rest_lse[row] = static_cast<F>(log_sum_exp(r.max[row], r.sum[row], tau));
    if (indices[row * K] < 0) rest_lse[row] = std::numeric_limits<F>::quiet_NaN();
  }
}

}  // namespace

void topk(Tensor& values, Tensor& indices, Tensor& rest_lse, const Tensor& logits, double tau) {
  visit_floating(logits.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    using F = ComputeType<T>;
    const std::int64_t N = logits.dim(0), V = logits.dim(1), K = values.dim(1);
    F* value = values.data<F>();
    std::int32_t* index = indices.data<std::int32_t>();
    F* rest = rest_lse.defined() ? rest_lse.data<F>() : nullptr;
    const T* x = logits.data<T>();
    for_each_row_tile<F>(N, V, 2, [&](const auto& tile, std::int64_t n, F* buffer) {
      Tensor entries = Tensor::empty({2, K}, DType::i64);
      const Heap best = {entries.data<std::int64_t>(), entries.data<std::int64_t>() + K};
      for (std::int64_t row = n; row < n + tile.count; ++row) {
        const bool ordered = select<F>(best, K, x + row * V, V);
        write_row(value + row * K, index + row * K, best, K, x + row * V, ordered);
      }
      if (rest != nullptr) weigh_rest(tile, buffer, rest + n, x + n * V, index + n * K, K, tau);
    });
  });
}

}  // namespace cpu
}  // namespace limbeck
