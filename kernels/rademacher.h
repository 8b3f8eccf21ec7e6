// SPDX-License-Identifier: Apache-2.0
// The random signs of projections: a function of the counter RNG, so the matrix is never stored.
#pragma once

#include <limbeck/core/philox.h>

namespace limbeck {

/// Names one matrix of signs, without end in both directions: sign (k,d) is a pure function of
/// these fields, k and d, equal on every device. A code written with it can be read as long as this
/// mapping stands, so it is part of the file format:
/// row k is the stream {seed, step = k, layer, RngPurpose::rademacher}, and sign (k,d) is bit d %
/// 32 (from the lowest) of its word d / 32; a set bit is -1. One Philox block holds 128 columns.
struct RademacherMatrix {
  std::uint64_t seed = 0;
  std::uint32_t layer = 0;  ///< layer, tap or whatever else tells matrices of one seed apart
};

/// Columns 128 block .. 128 block + 127 of row k, 32 to a word.
LIMBECK_HD Philox4 rademacher_block(const RademacherMatrix& matrix, std::uint32_t k,
                                    std::uint32_t block) {
  return philox_block({matrix.seed, k, matrix.layer, RngPurpose::rademacher}, block);
}

/// Columns 32 word .. 32 word + 31 of row k.
LIMBECK_HD std::uint32_t rademacher_word(const RademacherMatrix& matrix, std::uint32_t k,
                                         std::uint64_t word) {
  return philox_word({matrix.seed, k, matrix.layer, RngPurpose::rademacher}, word);
}

/// Sign (k,d), 1 or -1; d < 2^39.
LIMBECK_HD int rademacher_sign(const RademacherMatrix& matrix, std::uint32_t k, std::uint64_t d) {
  const std::uint32_t word = rademacher_word(matrix, k, d / 32);
  return (word >> (d % 32) & 1u) != 0 ? -1 : 1;
}

}  // namespace limbeck
