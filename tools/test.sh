#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Installs what is missing, builds and runs every test; ends with ctest's own summary.
#
#   tools/test.sh [build...]     builds, in the order they run; by default: simt host
#     host   what this machine has: with CUDA where nvcc is, else without
#     cpu    without CUDA
#     simt   the CUDA kernels on an emulated GPU
#     asan   cpu under AddressSanitizer and UndefinedBehaviorSanitizer
#     simt-asan   both
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source tools/build.sh

options_of() {
  local sanitize="-DLIMBECK_SANITIZE=address,undefined -DCMAKE_BUILD_TYPE=RelWithDebInfo"
  case $1 in
    host) echo "-DLIMBECK_GPU=auto" ;;
    cpu) echo "-DLIMBECK_GPU=off" ;;
    simt) echo "-DLIMBECK_GPU=simt" ;;
    asan) echo "-DLIMBECK_GPU=off $sanitize" ;;
    simt-asan) echo "-DLIMBECK_GPU=simt $sanitize" ;;
    *)
      echo "test.sh: unknown build '$1'; expected host, cpu, simt, asan or simt-asan" >&2
      return 2
      ;;
  esac
}

builds=("$@")
[[ ${#builds[@]} -gt 0 ]] || builds=(simt host)
for build in "${builds[@]}"; do options_of "$build" >/dev/null; done

tools/setup.sh
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
for build in "${builds[@]}"; do
  read -ra options <<<"$(options_of "$build")"
  limbeck_build "build/$build" "${options[@]}"
  ctest --test-dir "build/$build" -j "$(nproc)" --output-on-failure --no-tests=error </dev/null
done
