// SPDX-License-Identifier: Apache-2.0
// Of limbeck compare's page: which layers are alike, and how many directions they use.
#include <algorithm>

#include <limbeck/tools/bound_number.h>
#include <limbeck/tools/compare_html.h>
#include <limbeck/tools/heat_map.h>
#include <limbeck/tools/svg.h>

namespace limbeck {

using nlohmann::json;

namespace {

std::vector<std::string> layer_names(const json& report, const std::string& who) {
  std::vector<std::string> names;
  for (const json& layer : report.at("layers").at(who))
    names.push_back(layer.at("name").get<std::string>());
  return names;
}

double largest_rank(const json& report) {
  double most = 1;
  for (const char* who : {"student", "teacher"})
    for (const json& layer : report.at("layers").at(who))
      if (layer.at("effective_rank").is_number())
        most = std::max(most, layer.at("effective_rank").get<double>());
  return most;
}

/// A bar per layer, both models on one scale.
std::string draw_ranks(const json& report, const std::string& who, double most) {
  constexpr double kLeft = 170, kWidth = 180, kRow = 20;
  const std::vector<std::string> names = layer_names(report, who);
  const double bottom = 6 + kRow * static_cast<double>(names.size());
  Svg svg(kLeft + kWidth + 80, bottom + 36, "Effective rank of the layers of the " + who);
  for (std::size_t i = 0; i < names.size(); ++i) {
    const std::string path = "/layers/" + who + "/" + std::to_string(i) + "/effective_rank";
    const double rank = number_at(report, path), y = 6 + kRow * static_cast<double>(i);
    const std::string& name = names[i];
    svg.rect(kLeft, y, rank / most * kWidth, kRow - 5, who, name + ": " + number_text(json(rank)));
    svg.text(kLeft - 8, y + 12, escape_html(shortened(name, 24, true)), "end");
    svg.text(kLeft + rank / most * kWidth + 6, y + 12, number_text(json(rank), 1), "start", "label",
             bound_to(path));
  }
  svg.line(kLeft, 2, kLeft, bottom, "axis");
  svg.text(kLeft, bottom + 24, "effective rank, directions", "start", "strong");
  return "<figure>\n<h3><span class=\"key " + who + "\"></span>" + who + "</h3>\n" + svg.str() +
         "</figure>\n";
}

std::string kind_text(const std::string& kind) {
  if (kind == "linear") return "linear CKA";
  return kind == "rbf" ? "CKA with an RBF kernel" : "linear CKA, unbiased";
}

}  // namespace

std::string layers_body(const json& report) {
  const json& layers = report.at("layers");
  HeatMap map;
  map.title = "CKA of every layer of the student with every layer of the teacher";
  map.row_axis = "student";
  map.column_axis = "teacher";
  map.rows = layer_names(report, "student");
  map.columns = layer_names(report, "teacher");
  map.numbers = true;
  map.path = "/layers/cka";
  const double most = largest_rank(report);
  return "<p>How alike two layers find the same " + bound_number(report, "/layers/samples") +
         " samples (" + kind_text(layers.at("kind").get<std::string>()) +
         "): 1 if one is the other turned and scaled, 0 if they have nothing in common.</p>\n"
         "<figure>\n" +
         draw_heat_map(layers.at("cka"), map) + "</figure>\n" +
         "<p>How many directions the outputs spread over: a layer that collapses has few.</p>\n"
         "<div class=\"row\">\n" +
         draw_ranks(report, "student", most) + draw_ranks(report, "teacher", most) + "</div>\n";
}

}  // namespace limbeck
