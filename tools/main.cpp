// SPDX-License-Identifier: Apache-2.0
// The limbeck program.
#include <unistd.h>

#include <iostream>

#include <limbeck/tools/cli.h>

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  return limbeck::run_cli(arguments, {std::cout, isatty(STDOUT_FILENO) == 1}, std::cerr);
}
