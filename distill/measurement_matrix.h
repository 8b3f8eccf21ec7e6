// SPDX-License-Identifier: Apache-2.0
// The fixed random matrices of compressed sensing, each scaled so that it keeps lengths on average.
#pragma once

#include <string_view>
#include <variant>

#include <limbeck/autograd/variable.h>
#include <limbeck/kernels/count_sketch.h>
#include <limbeck/kernels/dense_projection.h>
#include <limbeck/kernels/rademacher.h>
#include <limbeck/kernels/srht.h>

namespace limbeck {

/// Of Phi (K,D): E |Phi x|^2 = |x|^2 for all of them; what differs is the price and, with k4 =
/// sum x_d^4 / |x|^4, the variance of |Phi x|^2 / |x|^2, given exactly.
enum class MeasurementKind {
  rademacher,    ///< signs / sqrt(K): 2/K (1 - k4), the least of all independent entries
  gaussian,      ///< N(0, 1/K): 2/K; what the literature's tables are of
  achlioptas,    ///< sqrt(3/K) times -1, 0 or 1 with odds 1:4:1 (Achlioptas 2003): 2/K
  count_sketch,  ///< one sign in each column: 2/K (1 - k4) for D additions; for distances only
  srht,  ///< signs, Hadamard transform, K of its P rows (P: D padded to a power of two): 2/K (1 -
         ///< k4) (P-K)/(P-1) for P log P additions; loses nothing at K = P
};

/// "rademacher".
std::string_view measurement_name(MeasurementKind kind);

/// rademacher, and above 4096 inputs srht, which is cheaper there.
MeasurementKind default_measurement(std::int64_t D);

/// Phi (K,D) as a function of (kind, K, D, seed, layer), equal on every device and part of the file
/// format of what is coded with it. The signs of rademacher, count_sketch and srht are made where
/// they are used (kernels/rademacher.h, count_sketch.h, srht.h), so Phi is never stored. gaussian
/// and achlioptas are drawn on the host and stored in the dtype: element (k,d) comes from words d &
/// ~1 and d | 1 of the stream {seed, k, layer, RngPurpose::random_features} (Box and Muller 1958)
/// or from word d of {seed, k, layer, RngPurpose::rademacher}, of which (6 word) >> 32 is 0 for 1,
/// 1 for -1, and otherwise for 0.
class MeasurementMatrix {
 public:
  /// K, D >= 1; K <= P for srht. dtype and device are those of what is measured.
  MeasurementMatrix(MeasurementKind kind, std::int64_t K, std::int64_t D, std::uint64_t seed,
                    std::uint32_t layer = 0, DType dtype = DType::f32,
                    Device device = Device::cpu());

  /// Phi x of each row: (N,D) to (N,K). With f32, rademacher, count_sketch and srht give the same
  /// bits on the CPU and on a GPU.
  Variable apply(const Variable& x) const;
  Tensor apply(const Tensor& x) const;  ///< without a tape
  /// Phi itself, (K,D) f64 on the CPU.
  Tensor dense() const;

  MeasurementKind kind() const { return kind_; }
  std::int64_t K() const { return K_; }
  std::int64_t D() const { return D_; }

 private:
  MeasurementKind kind_;
  std::int64_t K_, D_;
  std::uint64_t seed_;
  std::uint32_t layer_;
  std::variant<RademacherMatrix, DenseProjection, CountSketchPlan, SrhtPlan> encoder_;
};

}  // namespace limbeck
