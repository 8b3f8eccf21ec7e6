#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Which lines of the CUDA kernels their own tests run, on the emulated GPU: per cent and the numbers
# of the lines that are not run, per file, with the reason where there is a good one.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source tools/build.sh

folder=build/coverage
target=kernel_tests limbeck_build "$folder" -DLIMBECK_GPU=simt -DLIMBECK_COVERAGE=ON
find "$folder" -name '*.gcda' -delete
ctest --test-dir "$folder" -j "$(nproc)" -R '^kernels\.' --output-on-failure --no-tests=error \
  </dev/null | tail -n 3

# gcov annotates each source once per object it is part of: a line is run when it is in any.
find "$folder" -name '*.cu.gcda' -exec gcov --stdout {} + |
  awk -F: '
    BEGIN {
      copy = "no activation is a copy, made before"
      why["kernels/activation.cu", "case Activation::none:"] = copy
      why["kernels/activation.cu", "break;"] = copy
      why["kernels/conv2d.cu", "dx.fill(0);"] = "a window that fits gives an output"
      counted = "a line of a call that is counted at another"
      why["kernels/encode_and_compare.cu", "add_sign_product(acc,"] = counted
      why["kernels/kd_head.cu", "gpu::launch({"] = counted
    }
    function reason(file, n, of, part) {
      for (of in why) {
        split(of, part, SUBSEP)
        if (part[1] == file && index(text[file, n], part[2])) return " (" why[of] ")"
      }
    }
    $2 + 0 == 0 && $3 == "Source" { file = $4; sub(/.*\/kernels\//, "kernels/", file) }
    $2 + 0 > 0 && file ~ /^kernels\/.*\.cuh?$/ {
      key = file SUBSEP $2 + 0; text[key] = $0; gsub(/[ *]/, "", $1)
      if ($1 ~ /^[0-9]/) run[key] = 1
      if ($1 ~ /^[0-9#]/ && !(key in lines)) { lines[key] = 1; count[file]++ }
      if ($2 + 0 > last[file]) last[file] = $2 + 0
    }
    END {
      for (file in count) {
        missing = ""; hit = 0
        for (n = 1; n <= last[file]; n++)
          if ((file, n) in lines) { if ((file, n) in run) hit++; else missing = missing " " n reason(file, n) }
        printf "%-28s %6.1f %% of %3d lines%s\n", file, 100 * hit / count[file], count[file],
          missing == "" ? "" : ", not run:" missing | "sort"
      }
    }'
for file in core/backend.cu kernels/cublas.cu kernels/cudnn.cu; do
  printf '%-28s calls CUDA itself; run by tools/gpu-check.sh\n' "$file"
done
