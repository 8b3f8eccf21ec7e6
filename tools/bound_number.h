// SPDX-License-Identifier: Apache-2.0
// Numbers on a page that say where in its report they are from.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace limbeck {

/// A number of a report as it is shown: integers whole, others with `digits` after the point, and
/// below 10^-digits with two digits in all; what is no number as a dash.
std::string number_text(const nlohmann::json& value, int digits = 4);

/// The number at a JSON pointer, bound to it: <span data-path="/fidelity/agreement">0.9552</span>.
std::string bound_number(const nlohmann::json& report, const std::string& path, int digits = 4);

/// A bound number in large type over what it is.
std::string figure_of(const nlohmann::json& report, const std::string& path,
                      const std::string& what);
/// The attribute alone: data-path="/fidelity/agreement".
std::string bound_to(const std::string& path);

/// The number at a pointer, or 0.
double number_at(const nlohmann::json& report, const std::string& path);

/// Rows of cells that are HTML already, the first row and the first column being headings.
std::string html_table(const std::vector<std::vector<std::string>>& rows);

}  // namespace limbeck
