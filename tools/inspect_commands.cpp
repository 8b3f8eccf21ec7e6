// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/inspect_commands.h>

#include <memory>

#include <CLI/CLI.hpp>

#include <limbeck/tools/compare.h>
#include <limbeck/tools/inspect.h>

namespace limbeck {
namespace {

/// Runs `command` with arguments that live as long as the action.
template <class Arguments, class Command>
void act(CLI::App& app, std::function<bool()>& action, std::ostream& out,
         std::shared_ptr<Arguments> arguments, Command command) {
  app.callback([&action, &out, arguments, command] {
    action = [&out, arguments, command] {
      command(*arguments, out);
      return true;
    };
  });
}

void add_machine(CLI::App& app, MachineOptions& machine) {
  app.add_option("--device", machine.device, "auto, cpu or cuda:<i>");
  app.add_option("--threads", machine.threads, "CPU threads");
  app.add_option("--math", machine.math, "exact or fast");
}

void add_eval(CLI::App& app, std::function<bool()>& action, std::ostream& out) {
  CLI::App& eval = *app.add_subcommand("eval", "measure a model on the test data");
  auto arguments = std::make_shared<EvalArguments>();
  eval.add_option("weights", arguments->model.weights, "safetensors file")->required();
  eval.add_option("--model", arguments->model.model, "model file, for weights made elsewhere");
  eval.add_option("--names", arguments->model.names, "name map (JSON) for weights made elsewhere");
  add_data_options(eval, arguments->data);
  add_machine(eval, arguments->machine);
  act(eval, action, out, arguments, eval_command);
}

void add_compare(CLI::App& app, std::function<bool()>& action, std::ostream& out) {
  CLI::App& compare = *app.add_subcommand("compare", "show what a student has of its teacher");
  auto arguments = std::make_shared<CompareArguments>();
  CompareArguments& a = *arguments;
  compare.add_option("student", a.student.weights, "safetensors file")->required();
  compare.add_option("teacher", a.teacher.weights, "safetensors file")->required();
  compare.add_option("--model", a.student.model, "model file, for weights made elsewhere");
  compare.add_option("--names", a.student.names, "name map (JSON) for weights made elsewhere");
  compare.add_option("--teacher-model", a.teacher.model, "model file of the teacher");
  compare.add_option("--teacher-names", a.teacher.names, "name map of the teacher");
  add_data_options(compare, a.data);
  compare.add_option("--json", a.json, "file to write everything to");
  compare.add_option("--html", a.html, "page to write everything to");
  compare.add_option("--samples", a.samples, "test samples to show, as in 3,14")->delimiter(',');
  compare.add_option("--tau", a.tau, "temperature of what is shown of the classes; 4 by default");
  compare.add_option("--taps", a.layers, "layers to compare (regular expression); all by default");
  compare.add_option("--teacher-taps", a.teacher_layers, "those of the teacher, if others");
  compare.add_option("--cka", a.cka, "unbiased (default), linear, rbf, or none");
  compare.add_option("--cka-samples", a.cka_samples,
                     "samples to compare layers on; 256 by default");
  compare
      .add_option("--ledger", a.ledger,
                  "layers, as in fc1,fc2: channels of the teacher's that the student's knows")
      ->delimiter(',');
  compare.add_option("--recover", a.recover, "layer of the teacher to recover from measurements");
  compare.add_option("--measurements", a.measurements, "of --recover; a quarter by default");
  add_machine(compare, a.machine);
  act(compare, action, out, arguments, compare_command);
}

}  // namespace

void add_inspect_commands(CLI::App& app, std::function<bool()>& action, std::ostream& out) {
  add_eval(app, action, out);
  add_compare(app, action, out);
  CLI::App& info = *app.add_subcommand("info", "show a model, weights, a run or this machine");
  auto path = std::make_shared<std::string>();
  info.add_option("path", *path, "model or run file (.json), safetensors file or run folder");
  act(info, action, out, path, info_command);
}

}  // namespace limbeck
