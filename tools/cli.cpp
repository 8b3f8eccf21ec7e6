// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/cli.h>

#include <functional>

#include <CLI/CLI.hpp>

#include <limbeck/tools/bench/bench_command.h>
#include <limbeck/tools/encode.h>
#include <limbeck/tools/inspect_commands.h>
#include <limbeck/tools/profile_command.h>
#include <limbeck/tools/recover_command.h>
#include <limbeck/tools/version.h>

namespace limbeck {
namespace {

/// What the command line asked for: filled by CLI11, carried out afterwards.
struct Request {
  RunArguments run;
  EncodeArguments encode;
  BenchArguments bench;
  RecoverArguments recover;
  ProfileArguments profile;
  std::function<bool()> action;  ///< false: exit code 1 without an exception
};

void add_machine(CLI::App& command, RunArguments& run) {
  command.add_option("--device", run.device, "auto, cpu or cuda:<i>");
  command.add_option("--threads", run.threads, "CPU threads; no result depends on them");
  command.add_option("--math", run.math, "exact (same bits everywhere) or fast (oneDNN)");
}

void add_run_options(CLI::App& command, RunArguments& run) {
  command.add_option("--out", run.out, "run folder; default: a new one under runs/");
  command.add_option("--data", run.data, "synthetic-digits or a folder of the run file's format");
  add_machine(command, run);
}

void add_run(CLI::App& app, Request& request, const Console& console, const char* name,
             const char* help, void (*command)(const RunArguments&, const Console&)) {
  CLI::App& sub = *app.add_subcommand(name, help);
  RunArguments& run = request.run;
  sub.add_option("file", run.file, "run file (JSON)")->required();
  sub.add_option("--set", run.set, "path.key=value, changes the run file")->allow_extra_args(false);
  sub.add_option("--seed", run.seed, "the only seed, in place of the run file's");
  sub.add_flag("--resume", run.resume, "go on with the run in --out");
  if (command == distill_command)
    sub.add_option("--teacher-cache", run.teacher_cache,
                   "what limbeck encode wrote: trains its arm from it, without the teacher");
  add_run_options(sub, run);
  sub.callback([&request, &console, command] {
    request.action = [&request, &console, command] {
      command(request.run, console);
      return true;
    };
  });
}

/// What a command changes of a run file, and where it runs.
void add_changes(CLI::App& sub, RunArguments& run) {
  sub.add_option("--set", run.set, "path.key=value, changes the run file")->allow_extra_args(false);
  sub.add_option("--seed", run.seed, "the only seed, in place of the run file's");
  sub.add_option("--data", run.data, "synthetic-digits or a folder of the run file's format");
  add_machine(sub, run);
}

void add_encode(CLI::App& app, Request& request, const Console& console) {
  CLI::App& sub = *app.add_subcommand("encode", "store what an arm's teacher knows of the data");
  EncodeArguments& encode = request.encode;
  RunArguments& run = encode.run;
  sub.add_option("file", run.file, "run file (JSON)")->required();
  sub.add_option("--arm", encode.arm, "the arm that is to learn from it")->required();
  sub.add_option("--out", run.out, "safetensors file to write")->required();
  sub.add_option("--weights", encode.weights, "the teacher's; default: those the run file names");
  sub.add_option("--top-k", encode.top_k, "logits kept of each sample; default: the arm's, or all");
  sub.add_option("--dtype", encode.dtype, "f32, bf16 or f16, of codes and logits in the file");
  add_changes(sub, run);
  sub.callback([&] { request.action = [&] { return encode_command(encode, console.out), true; }; });
}

void add_profile(CLI::App& app, Request& request, const Console& console) {
  CLI::App& sub = *app.add_subcommand("profile", "show where the time of a training step goes");
  ProfileArguments& profile = request.profile;
  RunArguments& run = profile.run;
  sub.add_option("file", run.file, "run file (JSON)")->required();
  sub.add_option("--steps", profile.steps, "steps to measure, and again to trace; 20 by default");
  sub.add_option("--arm", profile.arm, "the arm to train; default: the last that distils");
  sub.add_option("--json", profile.json, "file to write the table to");
  sub.add_option("--trace", profile.trace, "file to write every range to, for ui.perfetto.dev");
  sub.add_flag("--no-ceilings", profile.no_ceilings, "do not measure the machine's limits");
  add_changes(sub, run);
  sub.callback(
      [&] { request.action = [&] { return profile_command(profile, console.out), true; }; });
}

void add_reproduce(CLI::App& app, Request& request, const Console& console) {
  CLI::App& sub = *app.add_subcommand("reproduce", "repeat a run and compare the digests");
  sub.add_option("file", request.run.file, "run.json of a finished run")->required();
  add_run_options(sub, request.run);
  sub.callback([&request, &console] {
    request.action = [&request, &console] {
      if (reproduce_command(request.run, console)) return true;
      throw std::runtime_error(request.run.file + ": the repeated run ended in other digests");
    };
  });
}

void add_bench(CLI::App& app, Request& request, const Console& console) {
  CLI::App& sub = *app.add_subcommand("bench", "time the kernels against this machine's limits");
  BenchArguments& bench = request.bench;
  sub.add_option("stem", bench.stems, "benchmarks to run; all by default");
  sub.add_option("--vs", bench.vs, "what an earlier run's --json wrote, to compare with");
  sub.add_option("--json", bench.json, "file to write the results to");
  sub.add_option("--device", bench.machine.device, "auto, cpu or cuda:<i>");
  sub.add_option("--threads", bench.machine.threads, "CPU threads");
  sub.add_option("--math", bench.machine.math, "exact or fast");
  sub.add_option("--seconds", bench.settings.seconds, "time spent on each line");
  sub.add_flag("--warm", bench.settings.warm, "the same tensors at every call, out of the caches");
  sub.add_flag("--no-ceilings", bench.no_ceilings, "do not measure the machine's limits");
  sub.add_flag("--list", bench.list, "only name the benchmarks");
  sub.callback([&] { request.action = [&] { return bench_command(bench, console.out), true; }; });
}

void add_recover(CLI::App& app, Request& request, const Console& console) {
  CLI::App& sub = *app.add_subcommand("recover", "count the measurements sparse recovery takes");
  RecoverArguments& recover = request.recover;
  sub.add_option("--dimension", recover.trials.dimension, "elements of a vector");
  sub.add_option("--sparsity", recover.sparsity, "how many of them are not 0; several");
  sub.add_option("--measurements", recover.measurements,
                 "several; default: every fourth number to the first that recovers 99 %");
  sub.add_option("--trials", recover.trials.trials, "vectors and matrices for each");
  sub.add_option("--matrix", recover.matrix,
                 "gaussian, rademacher, achlioptas, count_sketch or srht");
  sub.add_option("--method", recover.method, "omp or fista");
  sub.add_option("--seed", recover.trials.seed, "of vectors and matrices");
  sub.add_option("--json", recover.json, "file to write the results to");
  sub.add_option("--threads", recover.machine.threads, "CPU threads; no result depends on them");
  sub.callback(
      [&] { request.action = [&] { return recover_command(recover, console.out), true; }; });
}

void define(CLI::App& app, Request& request, const Console& console) {
  app.set_version_flag("--version", "limbeck " + version() + ", commit " + commit());
  app.require_subcommand(0, 1);
  add_run(app, request, console, "train", "train a model on labels", train_command);
  add_run(app, request, console, "distill", "train students from a teacher", distill_command);
  add_encode(app, request, console);
  add_profile(app, request, console);
  add_reproduce(app, request, console);
  add_inspect_commands(app, request.action, console.out);
  add_bench(app, request, console);
  add_recover(app, request, console);
}

/// An error as one line.
std::string one_line(std::string text) {
  for (char& c : text)
    if (c == '\n') c = ' ';
  return "limbeck: " + text + "\n";
}

}  // namespace

int run_cli(const std::vector<std::string>& arguments, const Console& console, std::ostream& err) {
  CLI::App app("limbeck: distils small models from big ones", "limbeck");
  Request request;
  define(app, request, console);
  try {
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
    if (!request.action) throw CLI::RequiredError("A command");
  } catch (const CLI::Success& e) {  // --help or --version
    return app.exit(e, console.out, err);
  } catch (const CLI::ParseError& e) {
    err << one_line(std::string(e.what()) + " (see limbeck --help)");
    return 2;
  }
  try {
    return request.action() ? 0 : 1;
  } catch (const std::bad_alloc&) {
    err << one_line("out of memory");
  } catch (const std::exception& e) {
    err << one_line(e.what());
  }
  return 1;
}

}  // namespace limbeck
