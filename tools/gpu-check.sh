#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What only a real GPU can show: runs all tests on it, the kernels' tests under compute-sanitizer
# where it is installed, a distillation that must come out the same twice, and the benchmarks.
# Writes one table, <out>/<gpu>-<date>.md, with the benchmarks' figures in a .json beside it for
# limbeck bench --vs, and fails when a check failed.
#
#   tools/gpu-check.sh [--binaries <folder>] [--commit <id>] [--out <folder>]
#     --binaries   a build made elsewhere, with what it links against in its lib/; default: builds
#     --commit     what the table names as the code's version; default: git's
#     --out        default: tools/bench/results
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source tools/build.sh

binaries='' commit='' out=tools/bench/results
while [[ $# -gt 0 ]]; do
  case $1 in
    --binaries) binaries=$2 ;;
    --commit) commit=$2 ;;
    --out) out=$2 ;;
    *)
      echo "gpu-check.sh: unknown option '$1'" >&2
      exit 2
      ;;
  esac
  shift 2
done

ask() { nvidia-smi --query-gpu="$1" --format=csv,noheader -i 0; }
if ! gpu=$(ask name 2>/dev/null); then
  echo "gpu-check.sh: nvidia-smi sees no GPU" >&2
  exit 1
fi
if [[ -z $binaries ]]; then
  tools/setup.sh
  binaries=build/gpu
  limbeck_build "$binaries" -DCMAKE_BUILD_TYPE=Release -DLIMBECK_GPU=cuda
fi
[[ -n $commit ]] || commit=$(git describe --always --dirty 2>/dev/null) || commit=unknown
if [[ -d $binaries/lib ]]; then export LD_LIBRARY_PATH=$binaries/lib:${LD_LIBRARY_PATH:-}; fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

rows=() failures=0
mkdir -p "$out"
table=$out/$(tr -cs '[:alnum:]\n' '-' <<<"${gpu,,}")-$(date -u +%Y-%m-%d).md
# After every check, so that a run that is cut short leaves what it found.
write_table() {
  {
    echo "# $gpu"
    echo
    echo "Commit $commit, $(date -u +'%Y-%m-%d %H:%M') UTC, driver $(ask driver_version), by \`tools/gpu-check.sh\`."
    echo
    echo "| check | verdict | summary | took |"
    echo "| --- | --- | --- | --- |"
    printf '%s\n' "${rows[@]}"
    if [[ -s $work/benchmarks ]]; then
      printf '\n```\n'
      cat "$work/benchmarks"
      printf '```\n'
    fi
  } >"$table"
}

# check <name> <command...>: one row of the table; the summary is what the command leaves in
# $work/summary, or its last line. Output is shown only when it fails.
check() {
  local name=$1 start=$SECONDS verdict=passed
  shift
  rm -f "$work/summary"
  if ! "$@" >"$work/log" 2>&1 </dev/null; then
    verdict=FAILED
    failures=$((failures + 1))
    tail -n 40 "$work/log" >&2
  fi
  [[ -s $work/summary ]] || tail -n 1 "$work/log" >"$work/summary"
  rows+=("| $name | $verdict | $(head -c 200 "$work/summary" | tr '\n|' '  ') | $((SECONDS - start)) s |")
  write_table
  echo "$name: $verdict"
}

# run_tests <filter> <binary...>: adds up gtest's own counts.
run_tests() {
  local filter=$1 binary failed=0 passed=0 unseen=0 count
  shift
  for binary in "$@"; do
    echo "$binary"
    "${under[@]}" "$binary" --gtest_filter="$filter" --gtest_brief=1 >"$work/test" 2>&1 ||
      failed=$((failed + 1))
    cat "$work/test"
    count=$(sed -n 's/^\[  PASSED  \] \([0-9]*\) test.*/\1/p' "$work/test")
    passed=$((passed + ${count:-0}))
    unseen=$((unseen + $(grep -c '^no GPU' "$work/test" || true)))
  done
  echo "$passed tests passed, $failed of $# programs failed, $unseen saw no GPU" >"$work/summary"
  [[ $failed -eq 0 && $passed -gt 0 && $unseen -eq 0 ]]
}

distil_twice() {
  "$binaries/limbeck" distill tools/configs/synthetic-digits.json --device cuda:0 --out "$work/run"
  "$binaries/limbeck" reproduce "$work/run/run.json"
}

profile_step() {
  "$binaries/limbeck" profile tools/configs/synthetic-digits.json --device cuda:0 --no-ceilings |
    tee "$work/profile"
  grep '^step:' "$work/profile" >"$work/summary"
}

tests=()
for test in "$binaries"/*_test; do
  # That one reads the sources, where they were built.
  if [[ $test != */house_test ]]; then tests+=("$test"); fi
done
gpu_tests=("$binaries"/{conformance,graph,step_graph,stream}_test)
for source in kernels/*.cu; do
  test=$binaries/$(basename "$source" .cu)_test
  if [[ -x $test ]]; then gpu_tests+=("$test"); fi
done

under=()
check "all tests" run_tests '*' "${tests[@]}"
if ! sanitizer=$(command -v compute-sanitizer); then
  rows+=("| compute-sanitizer | not installed | | |")
elif ! "$sanitizer" "$binaries/sgd_test" --gtest_filter='*HandNumbers*' >/dev/null 2>&1; then
  rows+=("| compute-sanitizer | does not run here | | |")
else
  for tool in memcheck racecheck initcheck synccheck; do
    under=("$sanitizer" --tool "$tool" --error-exitcode 9)
    if [[ $tool == memcheck ]]; then under+=(--leak-check no --report-api-errors no); fi
    check "kernels under $tool" run_tests '*cuda_*:Graph*:Conformance*' "${gpu_tests[@]}"
  done
  under=()
fi
check "distillation, twice the same bits" distil_twice
check "profile of a step" profile_step
check "benchmarks" "$binaries/limbeck" bench --device cuda:0 --json "${table%.md}.json"
if [[ ${rows[-1]} == *passed* ]]; then cp "$work/log" "$work/benchmarks"; fi
write_table

echo "$table"
[[ $failures -eq 0 ]]
