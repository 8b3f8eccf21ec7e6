#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Checks the layout of every source file (clang-format) and the C++ ones for likely mistakes
# (clang-tidy, with the list in .clang-tidy). Silent when all is well.
#
#   tools/lint.sh [build folder]     default: build/lint, configured here
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

folder=${1:-build/lint}
if [[ ! -f $folder/compile_commands.json ]]; then
  cmake -S . -B "$folder" -G Ninja -DLIMBECK_GPU=simt >/dev/null
fi
git ls-files '*.h' '*.cpp' '*.cu' '*.cuh' | xargs clang-format --dry-run -Werror
# GCC's flags mean nothing to clang.
git ls-files '*.cpp' | xargs -P "$(nproc)" -n 4 clang-tidy -p "$folder" --quiet \
  --extra-arg=-Wno-unknown-warning-option --extra-arg=-Wno-ignored-optimization-argument \
  2> >(grep -vE 'warnings? (and [0-9]+ errors? )?generated|^Suppressed|^Use -header-filter' >&2)
