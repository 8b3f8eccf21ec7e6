// SPDX-License-Identifier: Apache-2.0
// Of limbeck compare's page: channels that have crossed, and what measurements keep of a layer.
#include <algorithm>
#include <numeric>

#include <limbeck/tools/bound_number.h>
#include <limbeck/tools/compare_html.h>
#include <limbeck/tools/svg.h>

namespace limbeck {

using nlohmann::json;

namespace {

std::string code(const json& name) {
  return "<code>" + escape_html(name.get<std::string>()) + "</code>";
}

double nats_of(const json& channel) {
  return channel.at("gauss_nats").is_number() ? channel.at("gauss_nats").get<double>() : 0;
}

/// A bar per channel, the most told first.
std::string draw_channels(const json& channels) {
  constexpr double kLeft = 64, kTop = 10, kHeight = 170, kWidth = 760;
  std::vector<std::size_t> order(channels.size());
  std::iota(order.begin(), order.end(), 0u);
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return nats_of(channels[a]) > nats_of(channels[b]);
  });
  const double most = std::max(nats_of(channels[order.front()]), 0.1);
  const double step = std::min(kWidth / static_cast<double>(order.size()), 16.0);
  Svg svg(kLeft + kWidth + 20, kTop + kHeight + 34, "Nats of every channel, the most first");
  for (const double share : {0.0, 0.5, 1.0}) {
    const double y = kTop + (1 - share) * kHeight;
    svg.line(kLeft, y, kLeft + kWidth, y, share == 0 ? "axis" : "grid");
    svg.text(kLeft - 6, y + 4, number_text(json(share * most), 2), "end");
  }
  for (std::size_t i = 0; i < order.size(); ++i) {
    const json& channel = channels[order[i]];
    const double height = std::max(nats_of(channel), 0.0) / most * kHeight;
    const bool gauss = channel.at("gauss_share").is_number() && channel.at("gauss_share") >= 0.5;
    svg.rect(kLeft + static_cast<double>(i) * step, kTop + kHeight - height,
             step > 3 ? step - 1 : step, height, gauss ? "gauss" : "laplace",
             "channel " + std::to_string(order[i]) + ": " + number_text(channel.at("gauss_nats")) +
                 " nats, Gaussian share of its residual " +
                 number_text(channel.at("gauss_share"), 2));
  }
  svg.text(kLeft, kTop + kHeight + 20, "channels of the teacher's layer, the most told first",
           "start", "strong");
  svg.text(12, kTop + kHeight / 2, "nats", "middle", "strong",
           "transform=\"rotate(-90 12 " + svg_number(kTop + kHeight / 2) + ")\"");
  return svg.str();
}

std::string channel_table(const json& report) {
  constexpr std::size_t kMost = 1024;
  const std::size_t count = report.at("ledger").at("channels").size();
  if (count > kMost) return "";
  std::vector<std::vector<std::string>> rows = {
      {"channel", "nats, Gaussian", "nats, Laplace", "Gaussian share"}};
  for (std::size_t c = 0; c < count; ++c) {
    const std::string path = "/ledger/channels/" + std::to_string(c);
    rows.push_back({std::to_string(c), bound_number(report, path + "/gauss_nats"),
                    bound_number(report, path + "/laplace_nats"),
                    bound_number(report, path + "/gauss_share")});
  }
  return "<details>\n<summary>All channels</summary>\n" + html_table(rows) + "</details>\n";
}

}  // namespace

std::string ledger_body(const json& report) {
  const json& ledger = report.at("ledger");
  return "<div class=\"figures\">\n" +
         figure_of(report, "/ledger/crossed", "channels told half of the variance of") +
         figure_of(report, "/ledger/count", "channels in all") +
         figure_of(report, "/ledger/mean_nats", "mean nats per channel") +
         "</div>\n<p>What the best linear map of the student's layer " +
         code(ledger.at("student")) + " says about each channel of the teacher's layer " +
         code(ledger.at("teacher")) +
         ": ½ log(variance of the channel / variance of what is left "
         "unexplained), fitted on " +
         bound_number(report, "/ledger/fitted") + " positions and measured on " +
         bound_number(report, "/ledger/measured") +
         " others; below 0 it does worse than the mean. The colour is the shape of what is "
         "left.</p>"
         "\n<p><span class=\"key gauss\"></span>Gaussian tails<span class=\"key laplace\"></span>"
         "Laplace tails</p>\n" +
         draw_channels(ledger.at("channels")) + channel_table(report);
}

std::string recovery_body(const json& report) {
  const json& recovery = report.at("recovery");
  const auto row = [&](const char* what, const char* key) {
    return std::vector<std::string>{what, bound_number(report, std::string("/recovery/") + key)};
  };
  return "<p>The features of the teacher's layer " + code(recovery.at("layer")) +
         " had back by orthogonal matching pursuit from random measurements (" +
         escape_html(recovery.at("matrix").get<std::string>()) +
         "): what a code of that size can keep, if the features are sparse.</p>\n" +
         html_table({{"", "value"},
                     row("features", "features"),
                     row("measurements", "measurements"),
                     row("samples", "samples"),
                     row("nonzeros kept of each sample", "sparsity"),
                     row("share of the features that is not 0", "nonzeros"),
                     row("signal to error, dB", "snr_db"),
                     row("the same with the largest features themselves, dB", "best_snr_db"),
                     row("F1 of the support", "support_f1"),
                     row("the same first choice by the teacher's last layer", "agreement")});
}

}  // namespace limbeck
