// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/compare_html.h>

#include <limbeck/tools/compare_style.h>
#include <limbeck/tools/svg.h>

namespace limbeck {

using nlohmann::json;

namespace {

std::string text_at(const json& report, const std::string& path) {
  const json::json_pointer pointer(path);
  return report.contains(pointer) ? escape_html(report.at(pointer).get<std::string>()) : "";
}

std::string head(const json& report) {
  return "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
         "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
         "<title>" +
         text_at(report, "/student/file") + " and its teacher</title>\n<style>\n" + kCompareStyle +
         "</style>\n</head>\n<body>\n<header>\n<h1>What the student has of its "
         "teacher</h1>\n<p><span class=\"key student\"></span>student <code>" +
         text_at(report, "/student/file") +
         "</code> <span class=\"key teacher\"></span>teacher "
         "<code>" +
         text_at(report, "/teacher/file") + "</code></p>\n<p class=\"soft\">on " +
         text_at(report, "/data/name") + ", digest <code>" + text_at(report, "/data/digest") +
         "</code>; limbeck " + text_at(report, "/limbeck") + ", commit " +
         text_at(report, "/commit") + "</p>\n</header>\n<main>\n";
}

}  // namespace

const std::vector<PageSection>& page_sections() {
  static const std::vector<PageSection> sections = {
      {"/student", "Both models", models_body},
      {"/kl", "Distance of the predictions", kl_body},
      {"/student/reliability", "Reliability", reliability_body},
      {"/confusion", "Confusions", confusion_body},
      {"/dark_knowledge", "Dark knowledge", dark_knowledge_body},
      {"/layers", "Layers", layers_body},
      {"/ledger", "Channels that have crossed", ledger_body},
      {"/recovery", "Recovery from measurements", recovery_body},
      {"/samples", "Chosen samples", samples_body},
  };
  return sections;
}

std::string compare_page(const json& report) {
  std::string page = head(report);
  for (const PageSection& section : page_sections())
    if (report.contains(json::json_pointer(section.key)))
      page += std::string("<section>\n<h2>") + section.heading + "</h2>\n" + section.body(report) +
              "</section>\n";
  return page + "</main>\n</body>\n</html>\n";
}

}  // namespace limbeck
