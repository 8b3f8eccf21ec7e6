// SPDX-License-Identifier: Apache-2.0
// Of limbeck compare's page: how good both models are, how far apart, and how far to be believed.
#include <algorithm>
#include <cmath>

#include <limbeck/core/error.h>
#include <limbeck/tools/bound_number.h>
#include <limbeck/tools/compare_html.h>
#include <limbeck/tools/svg.h>

namespace limbeck {

using nlohmann::json;

namespace {

// --- distance: a box per divergence on a logarithmic axis ---------------------------------------

constexpr double kLeft = 170, kRight = 640, kLeastKl = 1e-8;

/// Decades of nats on an axis.
struct Decades {
  int first = -8, last = 0;

  explicit Decades(const json& report) {
    double low = 1, high = kLeastKl;
    for (const char* which : {"/kl/forward", "/kl/reverse"}) {
      low = std::min(low, number_at(report, std::string(which) + "/p5"));
      high = std::max(high, number_at(report, std::string(which) + "/max"));
    }
    first = static_cast<int>(std::floor(std::log10(std::max(low, kLeastKl))));
    last = std::max(first + 1, static_cast<int>(std::ceil(std::log10(high))));
  }
  double x(double nats) const {
    const double place = std::log10(std::max(nats, kLeastKl));
    return Scale{static_cast<double>(first), static_cast<double>(last), kLeft,
                 kRight}(std::clamp(place, static_cast<double>(first), static_cast<double>(last)));
  }
};

void draw_box(Svg& svg, const json& report, const std::string& path, const Decades& axis,
              double y) {
  const auto x = [&](const char* quantile) {
    return axis.x(number_at(report, path + "/" + quantile));
  };
  const auto tip = [&](const char* what, const char* quantile) {
    return std::string(what) + " " + number_text(report.at(json::json_pointer(path)).at(quantile));
  };
  svg.line(x("p5"), y, x("p95"), y, "axis");
  svg.line(x("p5"), y - 6, x("p5"), y + 6, "axis").line(x("p95"), y - 6, x("p95"), y + 6, "axis");
  svg.rect(x("p25"), y - 11, std::max(x("p75") - x("p25"), 1.0), 22, "box",
           tip("half of all from", "p25") + tip(" to", "p75"));
  svg.line(x("p50"), y - 11, x("p50"), y + 11, "ink-line");
  svg.circle(x("max"), y, 4, "dot", tip("most", "max"));
}

/// "0.1", or a power of ten where that is long.
std::string decade(int d) {
  if (d >= -2 && d <= 2) return svg_number(std::pow(10.0, d));
  return "10<tspan dy=\"-5\">" + std::to_string(d) + "</tspan>";
}

std::string draw_distances(const json& report) {
  const Decades axis(report);
  Svg svg(680, 138, "Quantiles of the divergences per sample");
  for (int d = axis.first; d <= axis.last; ++d) {
    const double x = axis.x(std::pow(10.0, d));
    svg.line(x, 8, x, 96, "grid");
    svg.text(x, 112, decade(d), "middle");
  }
  svg.text(kLeft - 12, 32, "KL(teacher‖student)", "end", "strong");
  svg.text(kLeft - 12, 78, "KL(student‖teacher)", "end", "strong");
  draw_box(svg, report, "/kl/forward", axis, 28);
  draw_box(svg, report, "/kl/reverse", axis, 74);
  svg.text((kLeft + kRight) / 2, 132, "nats per sample, logarithmic", "middle");
  return svg.str();
}

std::vector<std::string> quantile_row(const json& report, const std::string& name,
                                      const std::string& path) {
  std::vector<std::string> row = {name};
  for (const char* q : {"mean", "p5", "p25", "p50", "p75", "p95", "max"})
    row.push_back(bound_number(report, path + "/" + q));
  return row;
}

// --- reliability: accuracy over confidence, and how many samples
// ----------------------------------

constexpr double kSide = 320, kX = 52, kTop = 12, kBarsTop = kTop + kSide + 52, kBars = 60;

void draw_axes(Svg& svg) {
  for (const double tick : {0.0, 0.25, 0.5, 0.75, 1.0}) {
    const double x = kX + tick * kSide, y = kTop + (1 - tick) * kSide;
    svg.line(x, kTop, x, kTop + kSide, "grid").line(kX, y, kX + kSide, y, "grid");
    svg.text(x, kTop + kSide + 16, svg_number(tick), "middle");
    svg.text(kX - 8, y + 4, svg_number(tick), "end");
  }
  svg.line(kX, kTop + kSide, kX + kSide, kTop, "ideal");
  svg.text(kX + kSide / 2, kTop + kSide + 34, "confidence", "middle", "strong");
  svg.text(14, kTop + kSide / 2, "accuracy", "middle", "strong",
           "transform=\"rotate(-90 14 " + svg_number(kTop + kSide / 2) + ")\"");
}

void draw_model(Svg& svg, const json& report, const std::string& who, double offset) {
  const json& bins = report.at(who).at("reliability");
  const double total = number_at(report, "/" + who + "/samples");
  const double width = kSide / static_cast<double>(bins.size());
  for (const json& bin : bins)
    if (bin.at("samples") > 0 && bin.at("confidence").is_number())
      svg.point(kX + bin.at("confidence").get<double>() * kSide,
                kTop + (1 - bin.at("accuracy").get<double>()) * kSide);
  svg.end_line(who + "-line");
  for (std::size_t b = 0; b < bins.size(); ++b) {
    const json& bin = bins[b];
    if (bin.at("samples") == 0 || !bin.at("confidence").is_number()) continue;
    const std::string tip = who + ": " + bin.at("samples").dump() + " samples, confidence " +
                            number_text(bin.at("confidence")) + ", accuracy " +
                            number_text(bin.at("accuracy"));
    svg.circle(kX + bin.at("confidence").get<double>() * kSide,
               kTop + (1 - bin.at("accuracy").get<double>()) * kSide,
               2.5 + 4 * std::sqrt(bin.at("samples").get<double>() / total), who, tip);
    const double height = kBars * bin.at("samples").get<double>() / total;
    svg.rect(kX + (static_cast<double>(b) + offset) * width, kBarsTop + kBars - height, width * 0.4,
             height, who, tip);
  }
}

std::string draw_reliability(const json& report) {
  Svg svg(kX + kSide + 16, kBarsTop + kBars + 24, "Accuracy of both models over their confidence");
  draw_axes(svg);
  draw_model(svg, report, "teacher", 0.08);
  draw_model(svg, report, "student", 0.52);
  svg.line(kX, kBarsTop + kBars, kX + kSide, kBarsTop + kBars, "axis");
  svg.text(kX - 8, kBarsTop + 8, "1", "end").text(kX - 8, kBarsTop + kBars + 4, "0", "end");
  svg.text(kX, kBarsTop + kBars + 18, "share of the samples in each bin");
  return svg.str();
}

}  // namespace

std::string models_body(const json& report) {
  const bool text = report.at("data").at("kind") == "text";
  std::vector<std::vector<std::string>> rows = {{"", "parameters", text ? "tokens" : "samples",
                                                 "errors", "accuracy", "NLL, nats", "ECE",
                                                 "Brier"}};
  if (text) rows[0].push_back(escape_html(report.at("data").at("bits_unit").get<std::string>()));
  for (const std::string who : {"student", "teacher"}) {
    rows.push_back({detail::concat("<span class=\"key ", who, "\"></span>", who)});
    for (const char* what : {"parameters", "samples", "errors", "accuracy", "nll", "ece", "brier"})
      rows.back().push_back(bound_number(report, "/" + who + "/" + what));
    if (text) rows.back().push_back(bound_number(report, "/" + who + "/bits"));
  }
  return "<div class=\"figures\">\n" +
         figure_of(report, "/fidelity/agreement", "agreement: the same first choice") +
         figure_of(report, "/fidelity/baseline", "agreement of independent models this accurate") +
         figure_of(report, "/kl/forward/mean", "mean KL(teacher‖student), nats") + "</div>\n" +
         html_table(rows);
}

std::string kl_body(const json& report) {
  return "<p>The box holds the middle half of the samples, its line the median; the whiskers reach "
         "from 5 to 95 %, the dot is the sample that is worst. Both at temperature 1.</p>\n" +
         draw_distances(report) +
         html_table({{"nats per sample", "mean", "5 %", "25 %", "50 %", "75 %", "95 %", "most"},
                     quantile_row(report, "KL(teacher‖student)", "/kl/forward"),
                     quantile_row(report, "KL(student‖teacher)", "/kl/reverse")});
}

std::string reliability_body(const json& report) {
  return "<p>How often a model is right (up) when it is so sure (to the right). On the dashed line "
         "its probabilities can be believed; below it the model is too sure. Expected calibration "
         "error: student " +
         bound_number(report, "/student/ece") + ", teacher " +
         bound_number(report, "/teacher/ece") +
         ", of 15 bins.</p>\n<p><span class=\"key student\"></span>student<span class=\"key "
         "teacher\"></span>teacher</p>\n" +
         draw_reliability(report);
}

}  // namespace limbeck
