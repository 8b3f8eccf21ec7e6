// SPDX-License-Identifier: Apache-2.0
#include <limbeck/distill/relational.h>

#include <cmath>

#include <limbeck/autograd/arithmetic.h>
#include <limbeck/autograd/batched_matmul.h>
#include <limbeck/autograd/embedding.h>
#include <limbeck/autograd/reshape.h>
#include <limbeck/autograd/unit_mean.h>
#include <limbeck/autograd/unit_rows.h>
#include <limbeck/distill/feature_checks.h>
#include <limbeck/distill/gram_compare.h>
#include <limbeck/distill/tap.h>

namespace limbeck {
namespace {

/// Which samples are subtracted from which.
struct Pairs {
  std::vector<std::int32_t> from, to;
  void add(std::int64_t i, std::int64_t j) {
    to.push_back(static_cast<std::int32_t>(i));
    from.push_back(static_cast<std::int32_t>(j));
  }
};

/// x_to - x_from for every pair.
Variable differences(const Variable& x, const Pairs& pairs) {
  const auto rows = [&](const std::vector<std::int32_t>& ids) {
    const std::int64_t count = static_cast<std::int64_t>(ids.size());
    return embedding(x, Tensor::from(ids, {count}).to(x.value().device()));
  };
  return sub(rows(pairs.to), rows(pairs.from));
}

/// d_ij / mean d, (1, pairs): every pair once, since d_ij = d_ji.
Variable distances(const Variable& x) {
  const std::int64_t N = x.shape()[0];
  Pairs pairs;
  for (std::int64_t i = 0; i < N; ++i)
    for (std::int64_t j = 0; j < i; ++j) pairs.add(i, j);
  return reshape(unit_mean(row_norms(differences(x, pairs))), {1, N * (N - 1) / 2});
}

/// c_ijk (N (N - 1), N - 1): for each j the cosines of all i != j with all k != j.
Variable cosines(const Variable& x) {
  const std::int64_t N = x.shape()[0], D = x.shape()[1];
  Pairs pairs;
  for (std::int64_t j = 0; j < N; ++j)
    for (std::int64_t i = 0; i < N; ++i)
      if (i != j) pairs.add(i, j);
  const Variable directions = reshape(unit_rows(differences(x, pairs)), {N, N - 1, D});
  return reshape(batched_matmul(directions, Trans::no, directions, Trans::yes),
                 {N * (N - 1), N - 1});
}

}  // namespace

Relational::Relational(const Shape& receiver, const Shape& source, const RelationalOptions& options)
    : receiver_(receiver), source_(source), options_(options) {
  const double sum = options.distance_weight + options.angle_weight;
  LIMBECK_CHECK(
      options.distance_weight >= 0 && options.angle_weight >= 0 && sum > 0 && std::isfinite(sum),
      "relational: weights are ", options.distance_weight, " of distances and ",
      options.angle_weight, " of angles; expected >= 0, and one above");
}

Tensor Relational::encode(const Tensor& source) const {
  check_tap("relational", "source", source, source_);
  return source.reshape({source.dim(0), source_.numel()});
}

Variable Relational::loss(const Variable& receiver, const Tensor& code, double mean_over) {
  check_tap("relational", "receiver", receiver.value(), receiver_);
  check_code("relational", code, code_shape(), receiver.value());
  check_whole_batch("relational", receiver.value(), mean_over);
  const Variable s = tap_vectors(receiver), t(code);
  const std::int64_t N = code.dim(0);
  Variable total;
  const auto add_part = [&](double weight, const Variable& part) {
    const Variable weighted = scale(part, weight);
    total = total.defined() ? add(total, weighted) : weighted;
  };
  if (options_.distance_weight > 0 && N >= 2)
    add_part(options_.distance_weight,
             gram_compare(distances(s), distances(t).value(), {.penalty = GramPenalty::huber}));
  // Where k is i both cosines are 1, which adds nothing: the mean is over N - 2 for each j and i.
  if (options_.angle_weight > 0 && N >= 3)
    add_part(options_.angle_weight,
             gram_compare(cosines(s), cosines(t).value(),
                          {.penalty = GramPenalty::huber,
                           .mean_over = static_cast<double>(N) * static_cast<double>(N - 2)}));
  return total.defined() ? total : scale(sum(s), 0);
}

std::string Relational::describe() const {
  return detail::concat("relational(", options_.distance_weight, " distance, ",
                        options_.angle_weight, " angle)");
}

}  // namespace limbeck
