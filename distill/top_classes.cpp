// SPDX-License-Identifier: Apache-2.0
#include <limbeck/distill/top_classes.h>

#include <algorithm>
#include <numeric>
#include <set>

#include <limbeck/core/error.h>
#include <limbeck/distill/logit_rows.h>

namespace limbeck {
namespace {

/// The first `count` classes by falling probability.
std::vector<std::int64_t> likeliest(const std::vector<double>& p, std::int64_t count) {
  std::vector<std::int64_t> order(p.size());
  std::iota(order.begin(), order.end(), 0);
  const auto end = order.begin() + std::min(count, static_cast<std::int64_t>(p.size()));
  const auto before = [&](std::int64_t a, std::int64_t b) {
    const double pa = p[static_cast<std::size_t>(a)], pb = p[static_cast<std::size_t>(b)];
    return pa != pb ? pa > pb : a < b;
  };
  std::partial_sort(order.begin(), end, order.end(), before);
  order.erase(end, order.end());
  return order;
}

}  // namespace

std::vector<ClassView> top_classes(const Tensor& student, const Tensor& teacher, double tau,
                                   std::int64_t count, std::int64_t label) {
  LIMBECK_CHECK(student.rank() == 1 && student.numel() > 0 && is_floating(student.dtype()) &&
                    is_floating(teacher.dtype()) && student.shape() == teacher.shape(),
                "top_classes: logits are ", student.dtype(), " ", student.shape(), " and ",
                teacher.dtype(), " ", teacher.shape(), "; expected floating (V) of both");
  LIMBECK_CHECK(tau > 0, "top_classes: tau is ", tau, "; expected above 0");
  const std::int64_t V = student.numel();
  LIMBECK_CHECK(label < V, "top_classes: label ", label, "; expected below ", V);
  const std::vector<double> ps = softmax_of_row(LogitRows(student.reshape({1, V}))[0], V, tau);
  const std::vector<double> pt = softmax_of_row(LogitRows(teacher.reshape({1, V}))[0], V, tau);
  std::set<std::int64_t> chosen;
  for (const auto* p : {&ps, &pt})
    for (const std::int64_t c : likeliest(*p, count)) chosen.insert(c);
  if (label >= 0) chosen.insert(label);
  std::vector<ClassView> views;
  for (const std::int64_t c : chosen)
    views.push_back({c, ps[static_cast<std::size_t>(c)], pt[static_cast<std::size_t>(c)]});
  std::stable_sort(views.begin(), views.end(),
                   [](const ClassView& a, const ClassView& b) { return a.teacher > b.teacher; });
  return views;
}

}  // namespace limbeck
