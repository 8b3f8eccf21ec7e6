// SPDX-License-Identifier: Apache-2.0
// A matrix as a drawing.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace limbeck {

struct HeatMap {
  std::string title;                       ///< for those who cannot see it
  std::string row_axis, column_axis;       ///< what rows and columns are
  std::vector<std::string> rows, columns;  ///< their names; as many as the matrix has
  double most = 1;                         ///< the value of the full colour; 0 has none
  bool diagonal = true;                    ///< false: it is left blank
  bool numbers = false;                    ///< in cells that have room for them
  std::string path;                        ///< of the matrix in its report, for the numbers
};

/// A square per element of `matrix` (rows of numbers), coloured by its size; names are cut to 22
/// characters, and left out where squares are too small for them. Below it a legend from 0 to
/// `most`.
std::string draw_heat_map(const nlohmann::json& matrix, const HeatMap& map);

}  // namespace limbeck
