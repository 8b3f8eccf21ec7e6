// SPDX-License-Identifier: Apache-2.0
// Of limbeck compare's page: what the models make of the classes that are not the label.
#include <algorithm>
#include <cmath>
#include <numeric>

#include <limbeck/tools/bound_number.h>
#include <limbeck/tools/compare_html.h>
#include <limbeck/tools/heat_map.h>
#include <limbeck/tools/svg.h>

namespace limbeck {

using nlohmann::json;

namespace {

std::string place_of(const char* before, std::size_t i, const char* after) {
  return before + std::to_string(i) + after;
}

/// Names of classes, a line's end and a space made visible.
std::vector<std::string> class_names(const json& report) {
  std::vector<std::string> names;
  for (const json& one : report.at("classes")) {
    std::string name = one.at("name").get<std::string>();
    if (name == "\n") name = "⏎";
    if (name == " ") name = "␣";
    names.push_back(name);
  }
  return names;
}

double most_off_diagonal(const json& report) {
  double most = 0;
  for (const char* who : {"student", "teacher"}) {
    const json& matrix = report.at("confusion").at(who);
    for (std::size_t r = 0; r < matrix.size(); ++r)
      for (std::size_t c = 0; c < matrix.size(); ++c)
        if (r != c && matrix[r][c].is_number()) most = std::max(most, matrix[r][c].get<double>());
  }
  return most > 0 ? most : 1;
}

std::string confusion_figure(const json& report, const std::string& who, double most) {
  HeatMap map;
  map.title = "Mean probabilities of the " + who + ", class by class";
  map.row_axis = "class of the samples";
  map.column_axis = "mean probability of";
  map.rows = map.columns = class_names(report);
  map.most = most;
  map.diagonal = false;
  map.path = "/confusion/" + who;
  return "<figure>\n<h3><span class=\"key " + who + "\"></span>" + who + "</h3>\n" +
         draw_heat_map(report.at("confusion").at(who), map) + "</figure>\n";
}

/// The classes whose gap is largest, in their own order.
std::vector<std::size_t> widest_gaps(const json& classes, std::size_t count) {
  std::vector<std::size_t> order(classes.size());
  std::iota(order.begin(), order.end(), 0u);
  const auto gap = [&](std::size_t c) {
    const json& value = classes[c].at("logit_gap");
    return value.is_number() ? std::abs(value.get<double>()) : 0.0;
  };
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return gap(a) > gap(b); });
  order.resize(std::min(count, order.size()));
  std::sort(order.begin(), order.end());
  return order;
}

/// A bar per class, to the right where the student leans towards it more than the teacher.
std::string draw_gaps(const json& report) {
  constexpr double kMiddle = 300, kHalf = 180, kRow = 20;
  const json& classes = report.at("classes");
  const std::vector<std::size_t> shown = widest_gaps(classes, 30);
  const std::vector<std::string> names = class_names(report);
  double most = 1e-9;
  for (const std::size_t c : shown)
    most = std::max(most, std::abs(number_at(report, place_of("/classes/", c, "/logit_gap"))));
  const double bottom = 8 + kRow * static_cast<double>(shown.size());
  Svg svg(560, bottom + 40, "Difference of the mean logits, student less teacher, by class");
  for (const double side : {-1.0, 0.0, 1.0}) {
    svg.line(kMiddle + side * kHalf, 4, kMiddle + side * kHalf, bottom,
             side == 0 ? "axis" : "grid");
    svg.text(kMiddle + side * kHalf, bottom + 16, number_text(json(side * most), 2), "middle");
  }
  for (std::size_t i = 0; i < shown.size(); ++i) {
    const std::string path = place_of("/classes/", shown[i], "/logit_gap");
    const double gap = number_at(report, path), width = std::abs(gap) / most * kHalf;
    const double y = 8 + kRow * static_cast<double>(i);
    const std::string& name = names[shown[i]];
    svg.rect(gap < 0 ? kMiddle - width : kMiddle, y, width, kRow - 5, "student",
             name + ": " + number_text(json(gap)));
    svg.text(kMiddle - kHalf - 12, y + 12, escape_html(shortened(name, 16)), "end");
    svg.text(kMiddle + kHalf + 12, y + 12, number_text(json(gap)), "start", "label",
             bound_to(path));
  }
  svg.text(kMiddle, bottom + 34, "logits", "middle", "strong");
  return svg.str();
}

std::string bias_table(const json& report) {
  std::vector<std::vector<std::string>> rows = {{"class", "samples", "student's best offset",
                                                 "errors saved", "teacher's best offset",
                                                 "errors saved"}};
  const std::vector<std::string> names = class_names(report);
  for (std::size_t c = 0; c < names.size(); ++c) {
    rows.push_back({escape_html(names[c])});
    for (const char* what : {"/samples", "/student/offset", "/student/errors_saved",
                             "/teacher/offset", "/teacher/errors_saved"})
      rows.back().push_back(bound_number(report, place_of("/classes/", c, what)));
  }
  return "<details>\n<summary>The constant that, added to one class's logit, leaves the fewest "
         "errors</summary>\n" +
         html_table(rows) + "</details>\n";
}

std::string class_part(const json& report) {
  if (!report.contains("classes")) return "";
  std::string out =
      "<h3>How much more the student leans towards a class, whatever the sample</h3>\n"
      "<p class=\"soft\">Mean over samples of the logit less the mean logit, "
      "student minus teacher";
  if (report.at("classes").size() > 30) out += "; the 30 classes that differ most";
  out += ".</p>\n" + draw_gaps(report);
  if (report.at("classes").at(0).contains("student")) out += bias_table(report);
  return out;
}

}  // namespace

std::string temperature(const json& report) {
  const double tau = number_at(report, "/dark_knowledge/tau");
  return bound_number(report, "/dark_knowledge/tau", tau == std::floor(tau) ? 0 : 2);
}

std::string confusion_body(const json& report) {
  const auto figure = [&](const char* path, const char* what) {
    return "<div><b>" + bound_number(report, path) + "</b><span class=\"soft\">" + what +
           "</span></div>\n";
  };
  std::string out = "<div class=\"figures\">\n" +
                    figure("/confusion/correlation", "correlation of both off the diagonal") +
                    figure("/confusion/both_wrong", "wrong in both") +
                    figure("/confusion/same_wrong_class", "of these, the same wrong class") +
                    figure("/confusion/same_wrong_share", "share of them") +
                    figure("/confusion/chance", "share by chance") + "</div>\n";
  if (!report.at("confusion").contains("student")) return out;
  const double most = most_off_diagonal(report);
  return out +
         "<p>For each class (row) the mean probability that its samples are given for the "
         "others (columns), at temperature 1. The diagonal, mostly near 1, is left blank.</p>\n"
         "<div class=\"row\">\n" +
         confusion_figure(report, "student", most) + confusion_figure(report, "teacher", most) +
         "</div>\n";
}

std::string dark_knowledge_body(const json& report) {
  const auto row = [&](const char* name, const char* student, const char* teacher) {
    return std::vector<std::string>{name, bound_number(report, student),
                                    bound_number(report, teacher)};
  };
  return "<p>What is said of the classes but the label, at temperature " + temperature(report) +
         ": their distribution among themselves is "
         "KL " +
         bound_number(report, "/dark_knowledge/nckd") +
         " nats from the teacher's to the student's (NCKD). Entropy is at most " +
         bound_number(report, "/dark_knowledge/most_entropy") + ".</p>\n" +
         html_table({{"", "student", "teacher"},
                     row("entropy of the other classes, nats", "/dark_knowledge/student_entropy",
                         "/dark_knowledge/teacher_entropy"),
                     row("probability of the other classes", "/dark_knowledge/student_mass",
                         "/dark_knowledge/teacher_mass")}) +
         class_part(report);
}

}  // namespace limbeck
