// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/count_sketch.h>

#include <algorithm>
#include <vector>

#include <limbeck/core/dispatch.h>
#include <limbeck/kernels/lane_columns.h>

namespace limbeck {
namespace {

void check(const char* op, const char* wide_name, const Tensor& wide, const char* code_name,
           const Tensor& code, const CountSketchPlan& plan) {
  LIMBECK_CHECK(wide.defined() && code.defined(), op, ": ", wide_name, " or ", code_name,
                " is undefined");
  LIMBECK_CHECK(plan.target.defined(), op, ": plan is empty; expected one of count_sketch_plan");
  LIMBECK_CHECK(is_floating(wide.dtype()), op, ": ", wide_name, " is ", wide.dtype(),
                "; expected a floating dtype");
  LIMBECK_CHECK(code.dtype() == wide.dtype(), op, ": ", wide_name, " is ", wide.dtype(), ", ",
                code_name, " ", code.dtype(), "; expected equal dtypes");
  const bool fits =
      wide.rank() == 2 && wide.dim(1) == plan.D && code.shape() == Shape({wide.dim(0), plan.K});
  LIMBECK_CHECK(fits, op, ": ", wide_name, " has shape ", wide.shape(), ", ", code_name, " ",
                code.shape(), "; expected (N,", plan.D, ") and (N,", plan.K, ")");
  LIMBECK_CHECK(wide.device() == code.device() && wide.device() == plan.target.device(), op, ": ",
                wide_name, " on ", wide.device(), ", ", code_name, " on ", code.device(),
                ", plan on ", plan.target.device(), "; expected one device");
}

}  // namespace

CountSketchPlan count_sketch_plan(std::int64_t D, std::int64_t K, const CountSketchHash& hash,
                                  Device device) {
  LIMBECK_CHECK(1 <= D && D < (std::int64_t{1} << 30), "count_sketch_plan: D is ", D,
                "; expected 1 <= D < 2^30");
  LIMBECK_CHECK(1 <= K && K <= kMaxSketch, "count_sketch_plan: K is ", K, "; expected 1 to ",
                kMaxSketch);
  std::vector<std::int32_t> target;
  std::vector<std::int64_t> size(static_cast<std::size_t>(K), 0);
  for (std::int64_t d = 0; d < D; ++d) {
    target.push_back(count_sketch_target(hash, K, d));
    ++size[static_cast<std::size_t>(target.back() >> 1)];
  }
  const std::int64_t fullest = *std::max_element(size.begin(), size.end());
  std::vector<std::int32_t> columns(static_cast<std::size_t>(fullest * K), -1);
  std::fill(size.begin(), size.end(), 0);
  for (std::int64_t d = 0; d < D; ++d) {
    const std::int32_t t = target[static_cast<std::size_t>(d)];
    const std::int64_t place = size[static_cast<std::size_t>(t >> 1)]++;
    columns[static_cast<std::size_t>(place * K + (t >> 1))] =
        static_cast<std::int32_t>(2 * d + (t & 1));
  }
  return {D, K, Tensor::from(target, {D}, device), Tensor::from(columns, {fullest, K}, device)};
}

void count_sketch_forward(Tensor& y, const Tensor& x, const CountSketchPlan& plan) {
  check("count_sketch_forward", "x", x, "y", y, plan);
  LIMBECK_DISPATCH(x.device(), count_sketch_forward(y, x, plan));
}

void count_sketch_backward(Tensor& dx, const Tensor& dy, const CountSketchPlan& plan) {
  check("count_sketch_backward", "dx", dx, "dy", dy, plan);
  LIMBECK_DISPATCH(dx.device(), count_sketch_backward(dx, dy, plan));
}

namespace cpu {

// Bucket by bucket or column by column, each sum sees its columns in the same order; the latter
// reads x once, in order.
void count_sketch_forward(Tensor& y, const Tensor& x, const CountSketchPlan& plan) {
  visit_floating(x.dtype(), [&]<class T>(TypeTag<T>) {
    using F = ComputeType<T>;
    T* out = y.data<T>();
    const T* in = x.data<T>();
    const std::int32_t* target = plan.target.data<std::int32_t>();
    const std::int64_t D = plan.D, K = plan.K;
    for_each_16_rows<F>(x.dim(0), D, whole_strips(K),
                        [=](auto width, std::int64_t n, std::int64_t rows, F* code) {
                          std::fill_n(code, whole_strips(K) * kLanes, F(0));
                          sketch_lanes<width.value>(code, in + n * D, D, rows, target, F(1));
                          store_lanes<width.value>(out + n * K, code, K, K, rows);
                        });
  });
}

void count_sketch_backward(Tensor& dx, const Tensor& dy, const CountSketchPlan& plan) {
  visit_floating(dx.dtype(), [&]<class T>(TypeTag<T>) {
    using F = ComputeType<T>;
    T* out = dx.data<T>();
    const T* in = dy.data<T>();
    const std::int32_t* target = plan.target.data<std::int32_t>();
    const std::int64_t D = plan.D, K = plan.K;
    for_each_16_rows<F>(dx.dim(0), D, whole_strips(K),
                        [=](auto width, std::int64_t n, std::int64_t rows, F* code) {
                          load_lanes<width.value>(code, in + n * K, K, K, rows);
                          gather_lanes<width.value>(out + n * D, &code, &target, 1, D, rows, F(1));
                        });
  });
}

}  // namespace cpu
}  // namespace limbeck
