// SPDX-License-Identifier: Apache-2.0
#include <limbeck/distill/step_table.h>

#include <cstring>

#include <limbeck/core/error.h>

namespace limbeck {
namespace {

constexpr std::size_t kWords = sizeof(double) / sizeof(std::int32_t);

}  // namespace

StepTable::StepTable(std::size_t numbers, std::size_t samples, Device device)
    : count_(numbers),
      row_(Tensor::zeros({static_cast<std::int64_t>(kWords * numbers + samples)}, DType::i32,
                         device)) {}

void StepTable::write(std::int64_t first, const std::vector<Row>& rows) {
  const auto width = static_cast<std::size_t>(words());
  std::vector<std::int32_t> all(rows.size() * width, 0);
  for (std::size_t r = 0; r < rows.size(); ++r) {
    const auto& [numbers, samples] = rows[r];
    LIMBECK_CHECK(numbers.size() == count_ && kWords * count_ + samples.size() <= width,
                  "StepTable: row ", r, " has ", numbers.size(), " numbers, ", samples.size(),
                  " samples; expected ", count_, " and at most ", width - kWords * count_);
    std::int32_t* to = all.data() + r * width;
    std::memcpy(to, numbers.data(), count_ * sizeof(double));
    std::copy(samples.begin(), samples.end(), to + kWords * count_);
  }
  table_ = Tensor::from(all, {static_cast<std::int64_t>(rows.size()), words()}, row_.device());
  first_ = first;
}

bool StepTable::holds(std::int64_t step) const {
  return table_.defined() && first_ <= step && step < first_ + table_.dim(0);
}

void StepTable::select(std::int64_t step) {
  LIMBECK_CHECK(holds(step), "StepTable: step ", step, " of ", table_.defined() ? table_.dim(0) : 0,
                " from ", first_, "; expected one of them");
  row_.copy_from(table_.rows(step - first_, step - first_ + 1).reshape({words()}));
}

std::vector<StepNumber> StepTable::numbers() const {
  const auto* at = static_cast<const double*>(row_.raw());
  std::vector<StepNumber> list;
  for (std::size_t i = 0; i < count_; ++i) list.push_back(StepNumber::read(at + i));
  return list;
}

Tensor StepTable::samples() const {
  return row_.rows(static_cast<std::int64_t>(kWords * count_), words());
}

}  // namespace limbeck
