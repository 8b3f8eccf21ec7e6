// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/encode_and_compare.h>

#include <algorithm>
#include <cmath>

#include <limbeck/kernels/sign_product.cuh>
#include <limbeck/kernels/sketch.cuh>

namespace limbeck::cuda {
namespace {

using gpu::Four;
using gpu::kFour;

enum class Kind { given, rademacher, count_sketch };

template <class T>
struct Side {
  Kind kind;
  const T* tap;        // (N,D); a given code of T too
  const float* given;  // (N,K), a given code of f32 where T is another
  int D;
  bool aligned;
  RademacherMatrix matrix;
  gpu::SketchTables tables;
  T* code;  // (N,K), where the code is wanted, or null
  float* code_f32;

  LIMBECK_DEVICE void put_code(std::int64_t i, float value) const {
    if (code) code[i] = T(value);
    if (code_f32) code_f32[i] = value;
  }
};

template <class T>
struct Args {
  Side<T> student, teacher;
  T* dstudent;  // (N,Ds) or null
  bool aligned;
  float* row_loss;
  const float* row_weight;  // or null
  std::int64_t N;
  int K;
  float root;  // 1/sqrt(K)
  double grad_scale;
};

constexpr int kOwn = 4;  // buckets per thread: 256 threads for a K above 128

/// What a block has in shared memory: codes (kRows,K), then the tables of a sign product or four
/// rows of columns, then the bits of signs.
struct Room {
  float *codes, *work;
  std::uint32_t* bits;
  LIMBECK_DEVICE Four* fours() const { return reinterpret_cast<Four*>(work); }
};

LIMBECK_DEVICE int thread() { return static_cast<int>(threadIdx.x); }
LIMBECK_DEVICE int threads() { return static_cast<int>(blockDim.x); }

/// Calls use(r, k, value) for the codes of rows n0 + r; some of them may not exist. Column k
/// always is thread k mod blockDim's.
template <int kRows, class T, class Use>
LIMBECK_DEVICE void encode(const Room& room, const Args<T>& args, const Side<T>& side,
                           std::int64_t n0, Use use) {
  if (side.kind == Kind::rademacher) {
    for (int first = 0; first < args.K; first += threads()) {
      float acc[kRows] = {};
      gpu::RowSigns signs(nullptr);
      gpu::add_sign_product(acc, room.work, signs,
                            gpu::SignRows<T>{side.tap, args.N, side.D, side.aligned}, side.matrix,
                            n0, first);
      LIMBECK_UNROLL
      for (int r = 0; r < kRows; ++r)
        if (first + thread() < args.K) use(r, first + thread(), acc[r] * args.root);
    }
  } else if (side.kind == Kind::count_sketch) {
    for (int r0 = 0; r0 < kRows; r0 += kFour) {
      gpu::BucketWalk walk[kOwn];
      for (int i = 0; i < kOwn; ++i) walk[i].bucket = i * threads() + thread();
      const gpu::FourRows<const T> x{side.tap, args.N, side.D, side.aligned, n0 + r0};
      gpu::for_each_stage(room.fours(), x, [&](int begin, int end) {
        LIMBECK_UNROLL
        for (int i = 0; i < kOwn; ++i) walk[i].add(side.tables, room.fours(), begin, end, 1.0f);
      });
      LIMBECK_UNROLL
      for (int i = 0; i < kOwn; ++i)
        for (int r = 0; r < kFour; ++r)
          if (walk[i].bucket < args.K) use(r0 + r, walk[i].bucket, walk[i].sum.row[r]);
    }
  } else {
    for (int r = 0; r < kRows && n0 + r < args.N; ++r)
      for (int k = thread(); k < args.K; k += threads()) {
        const std::int64_t i = (n0 + r) * args.K + k;
        use(r, k, side.given ? side.given[i] : static_cast<float>(side.tap[i]));
      }
  }
}

/// Losses of the rows whose differences are in room.codes, and these times 2w/(K mean_over). A warp
/// per row.
template <int kRows, class T>
LIMBECK_DEVICE void compare(const Room& room, const Args<T>& args, std::int64_t n0) {
  for (int r = gpu::warp(); r < kRows && n0 + r < args.N; r += threads() / gpu::kWarp) {
    float* difference = room.codes + r * args.K;
    const double w = args.row_weight ? args.row_weight[n0 + r] : 1.0;
    const float scale = static_cast<float>(w * args.grad_scale);
    float sum[1] = {0};
    for (int k = gpu::lane(); k < args.K; k += gpu::kWarp) {
      const float d = difference[k];
      sum[0] = math::fma(d, d, sum[0]);
      difference[k] = w == 0 ? 0.0f : d * scale;
    }
    gpu::warp_reduce(sum, gpu::Sum{});
    if (gpu::lane() == 0)
      args.row_loss[n0 + r] = w == 0 ? 0.0f : sum[0] * static_cast<float>(w / args.K);
  }
}

/// dstudent of rows n0 .. = the transpose of the student's encoder applied to room.codes.
template <int kRows, class T>
LIMBECK_DEVICE void decode(const Room& room, const Args<T>& args, std::int64_t n0) {
  const Side<T>& side = args.student;
  const std::int64_t rows = args.N - n0 < kRows ? args.N - n0 : kRows;
  if (side.kind == Kind::rademacher) {
    const gpu::SignRows<float> codes{room.codes, rows, args.K, args.K % 4 == 0};
    for (int first = 0; first < side.D; first += threads()) {
      float acc[kRows] = {};
      gpu::ColumnSigns signs(room.bits);
      gpu::add_sign_product(acc, room.work, signs, codes, side.matrix, 0, first);
      LIMBECK_UNROLL
      for (int r = 0; r < kRows; ++r)
        if (first + thread() < side.D && r < rows)
          args.dstudent[(n0 + r) * side.D + first + thread()] = T(acc[r] * args.root);
    }
  } else if (side.kind == Kind::count_sketch) {
    for (int r0 = 0; r0 < rows; r0 += kFour) {
      gpu::sync_block();  // the four rows before have been read
      gpu::load_four(room.fours(),
                     gpu::FourRows<const float>{room.codes, rows, args.K, args.K % 4 == 0, r0}, 0,
                     args.K);
      gpu::sync_block();
      gpu::store_four(gpu::FourRows<T>{args.dstudent, args.N, side.D, args.aligned, n0 + r0},
                      [&](int d) {
                        Four sum = {};
                        gpu::add_from_bucket(sum, room.fours(), side.tables.target[d], 1.0f);
                        return sum;
                      });
    }
  } else {
    for (int r = 0; r < rows; ++r)
      for (int k = thread(); k < args.K; k += threads())
        args.dstudent[(n0 + r) * args.K + k] = T(room.codes[r * args.K + k]);
  }
}

/// One block per kRows rows; reads N*(Ds + Dt) per 256 numbers of a code, writes N*Ds. Codes stay
/// in shared memory.
template <int kRows, class T>
LIMBECK_KERNEL encode_and_compare_kernel(Args<T> args, int work_floats) {
  LIMBECK_DYNAMIC_SHARED(float, shared);
  const Room room{shared, shared + kRows * args.K,
                  reinterpret_cast<std::uint32_t*>(shared + kRows * args.K + work_floats)};
  const std::int64_t n0 = std::int64_t{blockIdx.x} * kRows;
  encode<kRows>(room, args, args.student, n0, [&](int r, int k, float value) {
    if (n0 + r >= args.N) return;
    room.codes[r * args.K + k] = value;
    args.student.put_code((n0 + r) * args.K + k, value);
  });
  gpu::sync_block();  // the work space has been read
  encode<kRows>(room, args, args.teacher, n0, [&](int r, int k, float value) {
    if (n0 + r >= args.N) return;
    room.codes[r * args.K + k] -= value;
    args.teacher.put_code((n0 + r) * args.K + k, value);
  });
  gpu::sync_block();
  compare<kRows>(room, args, n0);
  if (!args.dstudent) return;
  gpu::sync_block();
  decode<kRows>(room, args, n0);
}

template <class T>
Side<T> make_side(const TapEncoder& encoder, const Tensor& tap, Tensor& code) {
  Side<T> side{};
  side.D = static_cast<int>(tap.dim(1));
  side.aligned = gpu::misalignment(tap.raw()) == 0 && side.D % gpu::kLanes<T> == 0;
  if (tap.dtype() == dtype_of<T>())
    side.tap = tap.data<T>();
  else
    side.given = tap.data<float>();
  if (code.defined() && code.dtype() == dtype_of<T>())
    side.code = code.data<T>();
  else if (code.defined())
    side.code_f32 = code.data<float>();
  if (const auto* matrix = std::get_if<RademacherMatrix>(&encoder)) {
    side.kind = Kind::rademacher;
    side.matrix = *matrix;
  } else if (const auto* plan = std::get_if<CountSketchPlan>(&encoder)) {
    side.kind = Kind::count_sketch;
    side.tables = gpu::sketch_tables(*plan);
  }
  return side;
}

template <int kRows, class T>
void launch_rows(const Args<T>& args) {
  const auto uses = [&](Kind kind) {
    return args.student.kind == kind || args.teacher.kind == kind;
  };
  const int tables = uses(Kind::rademacher) ? gpu::SignTables<kRows>::kSize : 0;
  const int stage = std::max(gpu::kStage, gpu::four_slots(args.K)) * kFour;
  const int work = std::max(tables, uses(Kind::count_sketch) ? stage : 0);
  const int bits = args.student.kind == Kind::rademacher ? gpu::ColumnSigns::kSize : 0;
  const std::size_t bytes = static_cast<std::size_t>(kRows * args.K + work + bits) * sizeof(float);
  const unsigned width = args.K <= 128 ? 128 : 256;
  gpu::launch({"encode_and_compare", gpu::blocks_for(args.N, kRows), width, bytes},
              encode_and_compare_kernel<kRows, T>, args, work);
}

constexpr std::int64_t kFewRows = 512;  // below, a block takes fewer rows so that there are more

}  // namespace

void encode_and_compare_forward_with_grad(EncodeAndCompareOutputs& out, const Tensor& student,
                                          const Tensor& teacher, const Tensor& row_weight,
                                          const EncodeAndCompareOptions& options) {
  const std::int64_t N = student.dim(0), K = options.K;
  if (N == 0) return;
  gpu::visit_gpu_floating("encode_and_compare", student.dtype(), [&]<class T>(TypeTag<T>) {
    Args<T> args{};
    args.student = make_side<T>(options.student, student, out.student_code);
    args.teacher = make_side<T>(options.teacher, teacher, out.teacher_code);
    if (out.dstudent.defined()) {
      args.dstudent = out.dstudent.data<T>();
      args.aligned = gpu::misalignment(args.dstudent) == 0 && args.student.D % gpu::kLanes<T> == 0;
    }
    args.row_loss = out.row_loss.data<float>();
    args.row_weight = row_weight.defined() ? row_weight.data<float>() : nullptr;
    args.N = N;
    args.K = static_cast<int>(K);
    args.root = static_cast<float>(1 / std::sqrt(static_cast<double>(K)));
    args.grad_scale = 2 / (static_cast<double>(K) *
                           (options.mean_over > 0 ? options.mean_over : static_cast<double>(N)));
    if (N <= kFewRows || K > 256)
      launch_rows<4>(args);
    else
      launch_rows<16>(args);
  });
}

}  // namespace limbeck::cuda
