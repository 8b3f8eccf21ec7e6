// SPDX-License-Identifier: Apache-2.0
// limbeck compare: what a student has of its teacher, as a table, as JSON and as a page.
#pragma once

#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include <limbeck/distill/layer_similarity.h>
#include <limbeck/distill/top_classes.h>
#include <limbeck/distill/transfer.h>
#include <limbeck/tools/compare_audits.h>
#include <limbeck/tools/data_options.h>
#include <limbeck/tools/loaded_model.h>
#include <limbeck/tools/machine.h>
#include <limbeck/tools/test_samples.h>

namespace limbeck {

struct CompareArguments {
  ModelFiles student, teacher;
  DataArguments data;
  MachineOptions machine;
  double tau = 4;                      ///< of dark knowledge and of the chosen samples
  std::vector<std::int64_t> samples;   ///< to be shown: images, or places of text
  std::string layers, teacher_layers;  ///< as in LayerSimilarityOptions; the latter "": as former
  std::string cka = "unbiased";        ///< linear, rbf, unbiased, or none
  std::int64_t cka_samples = 256;
  std::vector<std::string> ledger;  ///< layers of channel_audit; none: no ledger
  std::string recover;              ///< the teacher's layer of recovery_audit; "": no recovery
  std::int64_t measurements = 0;    ///< its K
  std::string json, html;           ///< files to write; none when empty
};

/// A chosen sample and what both models make of it.
struct SampleView {
  std::int64_t index = 0, label = 0;
  std::vector<ClassView> classes;
};

struct Comparison {
  std::string student_file, teacher_file;
  std::int64_t student_parameters = 0, teacher_parameters = 0;
  Transfer transfer;
  std::optional<LayerSimilarity> layers;
  std::optional<LedgerView> ledger;
  std::optional<RecoveryView> recovery;
  std::vector<SampleView> samples;
};

/// Runs both models on the samples. Throws std::invalid_argument or IoError in one line.
Comparison compare_models(const CompareArguments& arguments, const TestSamples& samples,
                          Device device);

/// What the terminal shows (tools/compare_table.cpp).
std::string comparison_table(const Comparison& comparison, const TestSamples& samples);
/// All of it, and the images of chosen samples (tools/compare_json.cpp). What is no number is null.
nlohmann::json comparison_json(const Comparison& comparison, const TestSamples& samples);

/// The whole command.
void compare_command(const CompareArguments& arguments, std::ostream& out);

}  // namespace limbeck
