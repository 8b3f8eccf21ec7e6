// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/heat_map.h>

#include <algorithm>

#include <limbeck/tools/bound_number.h>
#include <limbeck/tools/svg.h>

namespace limbeck {
namespace {

constexpr std::size_t kLongestName = 22;
constexpr double kCharacter = 6.6;  // mean width of one in 12 px
constexpr double kRoomForName = 11, kRoomForNumber = 30;

/// The end of a long name: layers differ there.
std::string cut(const std::string& name) { return shortened(name, kLongestName, true); }

double longest(const std::vector<std::string>& names) {
  std::size_t most = 0;
  for (const std::string& name : names) most = std::max(most, characters_of(cut(name)));
  return kCharacter * static_cast<double>(most);
}

/// Where things are.
struct Layout {
  double cell, left, top, width, height;
  bool names, turned;  ///< column names stand at a slant where they are long

  explicit Layout(const HeatMap& map) {
    const auto R = static_cast<double>(map.rows.size()),
               C = static_cast<double>(map.columns.size());
    cell = std::clamp(420 / std::max(R, C), 4.0, map.numbers ? 40.0 : 28.0);
    names = cell >= kRoomForName;
    left = 26 + (names ? longest(map.rows) + 8 : 0);
    turned = longest(map.columns) > cell;
    top = 22 + (names ? (turned ? longest(map.columns) * 0.8 : 6) + 12 : 0);
    width = left + C * cell + (names && turned ? longest(map.columns) * 0.6 : 0) + 12;
    height = top + R * cell + 44;
  }
};

void draw_names(Svg& svg, const HeatMap& map, const Layout& at) {
  svg.text(at.left, 14, escape_html(map.column_axis), "start", "strong");
  const std::string middle =
      svg_number(at.top + static_cast<double>(map.rows.size()) * at.cell / 2);
  svg.text(14, at.top + static_cast<double>(map.rows.size()) * at.cell / 2,
           escape_html(map.row_axis), "middle", "strong",
           "transform=\"rotate(-90 14 " + middle + ")\"");
  if (!at.names) return;
  for (std::size_t r = 0; r < map.rows.size(); ++r)
    svg.text(at.left - 6, at.top + (static_cast<double>(r) + 0.5) * at.cell + 4,
             escape_html(cut(map.rows[r])), "end");
  for (std::size_t c = 0; c < map.columns.size(); ++c) {
    const double x = at.left + (static_cast<double>(c) + 0.5) * at.cell + 3, y = at.top - 6;
    svg.text(
        at.turned ? x : x - 3, y, escape_html(cut(map.columns[c])), at.turned ? "start" : "middle",
        "label",
        at.turned ? "transform=\"rotate(-52 " + svg_number(x) + " " + svg_number(y) + ")\"" : "");
  }
}

void draw_cell(Svg& svg, const HeatMap& map, const Layout& at, const nlohmann::json& value,
               std::size_t r, std::size_t c) {
  const double x = at.left + static_cast<double>(c) * at.cell;
  const double y = at.top + static_cast<double>(r) * at.cell,
               side = at.cell - (at.cell > 8 ? 1 : 0);
  if ((!map.diagonal && r == c) || !value.is_number()) return;
  const double share = std::clamp(value.get<double>() / map.most, 0.0, 1.0);
  const std::string tip = map.rows[r] + ", " + map.columns[c] + ": " + number_text(value);
  svg.rect(x, y, side, side, "cell", at.names ? tip : "");
  if (share > 0.004)
    svg.rect(x, y, side, side, "heat", tip, "fill-opacity=\"" + svg_number(share) + "\"");
  if (!map.numbers || at.cell < kRoomForNumber) return;
  const std::string place = map.path + "/" + std::to_string(r) + "/" + std::to_string(c);
  svg.text(x + side / 2, y + side / 2 + 4, number_text(value, 2), "middle",
           share > 0.55 ? "on-heat" : "on-cell", bound_to(place));
}

void draw_legend(Svg& svg, const HeatMap& map, const Layout& at) {
  constexpr int kSteps = 20;
  const double y = at.height - 30, width = 140.0 / kSteps;
  for (int i = 0; i < kSteps; ++i) {
    svg.rect(at.left + i * width, y, width, 10, "cell");
    svg.rect(at.left + i * width, y, width, 10, "heat", "",
             "fill-opacity=\"" + svg_number((i + 0.5) / kSteps) + "\"");
  }
  svg.text(at.left, y + 24, "0")
      .text(at.left + 140, y + 24, number_text(map.most, map.most < 0.1 ? 4 : 2), "end");
}

}  // namespace

std::string draw_heat_map(const nlohmann::json& matrix, const HeatMap& map) {
  const Layout at(map);
  Svg svg(std::max(at.width, at.left + 152), at.height, map.title);
  draw_names(svg, map, at);
  for (std::size_t r = 0; r < map.rows.size(); ++r)
    for (std::size_t c = 0; c < map.columns.size(); ++c)
      draw_cell(svg, map, at, matrix.at(r).at(c), r, c);
  draw_legend(svg, map, at);
  return svg.str();
}

}  // namespace limbeck
