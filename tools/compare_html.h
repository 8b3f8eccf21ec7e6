// SPDX-License-Identifier: Apache-2.0
// limbeck compare's page: one file of HTML that needs nothing else and no network.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace limbeck {

/// What comparison_json gives (tools/compare.h) as a page, light or dark as its reader likes it.
/// Every number on it that is bound to a place in the report (tools/bound_number.h) is shown from
/// there. Well-formed XML but for its first line.
std::string compare_page(const nlohmann::json& report);

/// A part of the page. A new measure is a key of the report and one more of these.
struct PageSection {
  const char* key;      ///< JSON pointer; without that part of the report the section is left out
  const char* heading;  ///< plain text
  std::string (*body)(const nlohmann::json& report);  ///< HTML
};

/// In the order of the page.
const std::vector<PageSection>& page_sections();

/// tau as it stands in sentences, bound.
std::string temperature(const nlohmann::json& report);

/// tools/compare_page_models.cpp
std::string models_body(const nlohmann::json& report);
std::string reliability_body(const nlohmann::json& report);
std::string kl_body(const nlohmann::json& report);
/// tools/compare_page_classes.cpp
std::string confusion_body(const nlohmann::json& report);
std::string dark_knowledge_body(const nlohmann::json& report);
/// tools/compare_page_layers.cpp
std::string layers_body(const nlohmann::json& report);
/// tools/compare_page_audits.cpp
std::string ledger_body(const nlohmann::json& report);
std::string recovery_body(const nlohmann::json& report);
/// tools/compare_page_samples.cpp
std::string samples_body(const nlohmann::json& report);

}  // namespace limbeck
