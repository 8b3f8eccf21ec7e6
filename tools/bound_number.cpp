// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/bound_number.h>

#include <cmath>
#include <cstdio>

#include <limbeck/core/error.h>
#include <limbeck/tools/svg.h>

namespace limbeck {

using nlohmann::json;

std::string number_text(const json& value, int digits) {
  if (!value.is_number()) return "–";
  if (value.is_number_integer()) return value.dump();
  const auto number = value.get<double>();
  const bool small = number != 0 && std::abs(number) < std::pow(10, -digits);
  char text[64];
  std::snprintf(text, sizeof text, small ? "%.*e" : "%.*f", small ? 1 : digits, number);
  return text;
}

std::string bound_to(const std::string& path) { return "data-path=\"" + escape_html(path) + "\""; }

std::string bound_number(const json& report, const std::string& path, int digits) {
  const json::json_pointer pointer(path);
  const json value = report.contains(pointer) ? report.at(pointer) : json();
  return "<span " + bound_to(path) + ">" + number_text(value, digits) + "</span>";
}

double number_at(const json& report, const std::string& path) {
  const json::json_pointer pointer(path);
  if (!report.contains(pointer) || !report.at(pointer).is_number()) return 0;
  return report.at(pointer).get<double>();
}

std::string html_table(const std::vector<std::vector<std::string>>& rows) {
  std::string out = "<table>\n";
  for (std::size_t r = 0; r < rows.size(); ++r) {
    out += "<tr>";
    for (std::size_t c = 0; c < rows[r].size(); ++c) {
      const std::string tag = r == 0 || c == 0 ? "th" : "td";
      out += detail::concat("<", tag, ">", rows[r][c], "</", tag, ">");
    }
    out += "</tr>\n";
  }
  return out + "</table>\n";
}

std::string figure_of(const json& report, const std::string& path, const std::string& what) {
  return "<div><b>" + bound_number(report, path) + "</b><span class=\"soft\">" + what +
         "</span></div>\n";
}

}  // namespace limbeck
