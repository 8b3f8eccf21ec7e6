#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Installs what is missing, builds and runs every test; ends with ctest's own summary.
#
#   tools/test.sh [build...]     builds, in the order they run; by default: simt kernels-asan
#                                kernels-race host
#     host   what this machine has: with CUDA where nvcc is, else without
#     cpu    without CUDA
#     simt   the CUDA kernels on an emulated GPU
#     asan   cpu under AddressSanitizer and UndefinedBehaviorSanitizer
#     kernels-asan   the kernels' tests alone, emulated, under both sanitizers and 8 schedules
#     kernels-race   the same with the race checker, which also has to find planted bugs
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source tools/build.sh

options_of() {
  local sanitize="-DLIMBECK_SANITIZE=address,undefined -DCMAKE_BUILD_TYPE=RelWithDebInfo"
  # What the compiler saves by -O1 is more than the tests lose.
  local quick="-DCMAKE_BUILD_TYPE=RelWithDebInfo -DCMAKE_CXX_FLAGS_RELWITHDEBINFO=-O1"
  quick+=" -DCMAKE_CXX_FLAGS=-g1"
  case $1 in
    host) echo "-DLIMBECK_GPU=auto" ;;
    cpu) echo "-DLIMBECK_GPU=off" ;;
    simt) echo "-DLIMBECK_GPU=simt" ;;
    asan) echo "-DLIMBECK_GPU=off $sanitize" ;;
    kernels-asan) echo "-DLIMBECK_GPU=simt $sanitize $quick" ;;
    kernels-race) echo "-DLIMBECK_GPU=simt -DLIMBECK_SIMT_RACE=ON $quick" ;;
    *)
      echo "test.sh: unknown build '$1'; its first lines name them" >&2
      return 2
      ;;
  esac
}

builds=("$@")
[[ ${#builds[@]} -gt 0 ]] || builds=(simt kernels-asan kernels-race host)
for build in "${builds[@]}"; do options_of "$build" >/dev/null; done

tools/setup.sh
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
export ASAN_OPTIONS=allocator_may_return_null=1 # as an allocator without ASan does
for build in "${builds[@]}"; do
  read -ra options <<<"$(options_of "$build")"
  target=all tests=()
  if [[ $build == kernels-* ]]; then target=kernel_tests tests=(-L kernels); fi
  limbeck_build "build/$build" "${options[@]}"
  ctest --test-dir "build/$build" -j "$(nproc)" "${tests[@]}" --output-on-failure \
    --no-tests=error </dev/null
done
