// SPDX-License-Identifier: Apache-2.0
// Weights of small models, untrained, and what limbeck compare says of them.
#pragma once

#include <memory>
#include <sstream>
#include <string>

#include <limbeck/nn/weights.h>
#include <limbeck/tests/temporary_folder.h>
#include <limbeck/tools/compare.h>
#include <limbeck/tools/model_json.h>

namespace limbeck::testing {

inline void save_model(const std::string& path, const nlohmann::json& model, std::uint64_t seed) {
  const ModelSpec spec = read_model_with_input(model, "model");
  save_weights(*build_model(spec, seed), path, {{"model", write_model(spec).dump()}});
}

/// A student 784-6-10 and a teacher 784-12-10, seen on 60 drawn digits.
struct SmallComparison {
  TemporaryFolder folder;
  CompareArguments arguments;

  SmallComparison() {
    for (const auto& [name, width, seed] : {std::tuple{"student", 6, 1}, {"teacher", 12, 2}}) {
      const nlohmann::json layers = {{{"type", "linear"}, {"name", "fc1"}, {"out", width}},
                                     {{"type", "relu"}, {"name", "act"}},
                                     {{"type", "linear"}, {"name", "fc2"}, {"out", 10}}};
      save_model(folder.file(name), {{"input", {28, 28, 1}}, {"layers", layers}},
                 static_cast<std::uint64_t>(seed));
    }
    arguments.student.weights = folder.file("student");
    arguments.teacher.weights = folder.file("teacher");
    arguments.data.source = "synthetic-digits";
    arguments.data.synthetic.test_samples = 60;
    arguments.machine.device = "cpu";
    arguments.samples = {3, 14};
    arguments.ledger = {"act", "act"};
    arguments.recover = "act";
    arguments.json = folder.file("out.json");
    arguments.html = folder.file("out.html");
  }

  /// Runs the command; gives what it shows.
  std::string run() const {
    std::ostringstream out;
    compare_command(arguments, out);
    return out.str();
  }
  nlohmann::json report() const { return nlohmann::json::parse(read_text(arguments.json)); }
  std::string page() const { return read_text(arguments.html); }
};

/// The same of language models of 8 tokens, on a made-up text.
struct SmallTextComparison : SmallComparison {
  SmallTextComparison() {
    std::string text;
    for (int i = 0; i < 900; ++i)
      text += i % 9 == 8 ? "\n" : std::string(1, "ab<&\"c"[i * i / 5 % 6]);
    write_text(folder.file("text.txt"), text);
    for (const auto& [name, width, seed] : {std::tuple{"student", 4, 1}, {"teacher", 9, 2}}) {
      const nlohmann::json layers = {
          {{"type", "embedding"}, {"name", "embedding"}, {"num", 7}, {"dim", width}},
          {{"type", "linear"}, {"name", "head"}, {"out", 7}}};
      save_model(folder.file(name), {{"input", {8}}, {"layers", layers}},
                 static_cast<std::uint64_t>(seed));
    }
    arguments.data.source = folder.file("text.txt");
    arguments.data.format = "text";
    arguments.ledger = {"embedding"};
    arguments.recover = "embedding";
    arguments.measurements = 6;
  }
};

}  // namespace limbeck::testing
