// SPDX-License-Identifier: Apache-2.0
// Of limbeck compare's page: single samples through the eyes of both models.
#include <algorithm>

#include <limbeck/core/error.h>
#include <limbeck/tools/bound_number.h>
#include <limbeck/tools/compare_html.h>
#include <limbeck/tools/svg.h>

namespace limbeck {

using nlohmann::json;

namespace {

/// What a class is called in a drawing.
std::string name_of(const json& sample, const json& view) {
  const std::string name = view.at("name").get<std::string>();
  return sample.contains("text") ? json(name).dump() : name;
}

/// Two bars per class, the teacher's above the student's.
std::string draw_classes(const json& report, std::size_t i) {
  constexpr double kLeft = 110, kWidth = 190, kRow = 36;
  const json& sample = report.at("samples").at(i);
  const json& views = sample.at("classes");
  const double bottom = 4 + kRow * static_cast<double>(views.size());
  Svg svg(kLeft + kWidth + 56, bottom + 34, "Probabilities of the likeliest classes");
  for (const double tick : {0.0, 0.5, 1.0}) {
    const double x = kLeft + tick * kWidth;
    svg.line(x, 2, x, bottom, tick == 0 ? "axis" : "grid");
    svg.text(x, bottom + 15, svg_number(tick), "middle");
  }
  for (std::size_t c = 0; c < views.size(); ++c) {
    const double y = 4 + kRow * static_cast<double>(c);
    const bool label = views[c].at("class") == sample.at("label");
    const std::string name = name_of(sample, views[c]);
    svg.text(kLeft - 8, y + 20, escape_html(shortened(name, 16)), "end", label ? "bold" : "label");
    double line = y + 2;
    for (const std::string who : {"teacher", "student"}) {
      const std::string path = detail::concat("/samples/", i, "/classes/", c, "/", who);
      const double p = number_at(report, path);
      svg.rect(kLeft, line, p * kWidth, 12, who,
               detail::concat(name, ", ", who, ": ", number_text(json(p))));
      svg.text(kLeft + p * kWidth + 5, line + 10, number_text(json(p), 3), "start", "small",
               bound_to(path));
      line += 14;
    }
  }
  svg.text(kLeft + kWidth / 2, bottom + 30, "probability", "middle", "strong");
  return svg.str();
}

std::string picture(const json& sample) {
  if (!sample.contains("image")) return "";
  const auto width = sample.at("image_width").get<double>();
  const auto height = sample.at("image_height").get<double>();
  const double scale = std::min(168 / height, 320 / width);  // small images are enlarged
  return "<img src=\"" + sample.at("image").get<std::string>() + "\" width=\"" +
         svg_number(width * scale) + "\" height=\"" + svg_number(height * scale) +
         "\" alt=\"sample " + sample.at("index").dump() + "\"/>\n";
}

std::string card(const json& report, std::size_t i) {
  const json& sample = report.at("samples").at(i);
  const bool text = sample.contains("text");
  std::string out =
      "<figure class=\"card\">\n<h3>" + std::string(text ? "token " : "sample ") +
      bound_number(report, "/samples/" + std::to_string(i) + "/index") +
      (text ? "" : ", class " + escape_html(sample.at("label_name").get<std::string>())) +
      "</h3>\n" + picture(sample);
  if (text)
    out += "<pre>" + escape_html(sample.at("text").get<std::string>()) + "<mark>" +
           escape_html(sample.at("label_name").get<std::string>()) + "</mark></pre>\n";
  return out + draw_classes(report, i) + "</figure>\n";
}

}  // namespace

std::string samples_body(const json& report) {
  std::string out = "<p>The likeliest classes of both models at temperature " +
                    temperature(report) +
                    ", the label in bold.</p>\n<p><span class=\"key teacher\"></span>teacher<span "
                    "class=\"key student\"></span>student</p>\n<div class=\"row\">\n";
  for (std::size_t i = 0; i < report.at("samples").size(); ++i) out += card(report, i);
  return out + "</div>\n";
}

}  // namespace limbeck
