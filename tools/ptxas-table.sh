#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What ptxas says of every CUDA kernel: registers, spills and static shared memory, one line per
# kernel and architecture, in tools/bench/results/ptxas.md. Needs nvcc, but no GPU.
#
#   tools/ptxas-table.sh [architecture...]     as 90 for sm_90; default: 75 90 120
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

architectures=("$@")
[[ ${#architectures[@]} -gt 0 ]] || architectures=(75 90 120)
gencode=()
for sm in "${architectures[@]}"; do gencode+=(-gencode "arch=compute_$sm,code=sm_$sm"); done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
ln -s "$PWD" "$work/limbeck" # <limbeck/core/tensor.h>

# ptxas_lines <file>: "file|kernel|arch|registers|spill stores|spill loads|shared", names mangled.
ptxas_lines() {
  # The flags that CMakeLists.txt gives to nvcc and that change the code.
  if ! nvcc -std=c++20 -O3 -DNDEBUG --fmad=false "${gencode[@]}" -I"$work" -DLIMBECK_HAS_GPU=1 \
    -Xptxas -v -c -o /dev/null "$1" >"$work/log" 2>&1; then
    cat "$work/log" >&2
    return 1
  fi
  awk -v file="$1" '
    /Compiling entry function/ { split($0, quoted, "\047"); kernel = quoted[2]; arch = quoted[4] }
    /Function properties for/ { current = $NF }
    /bytes spill stores/ && current == kernel {
      match($0, /[0-9]+ bytes spill stores/); stores = substr($0, RSTART) + 0
      match($0, /[0-9]+ bytes spill loads/); loads = substr($0, RSTART) + 0
    }
    /Used [0-9]+ registers/ {
      match($0, /Used [0-9]+/); registers = substr($0, RSTART + 5) + 0
      shared = match($0, /[0-9]+ bytes smem/) ? substr($0, RSTART) + 0 : 0
      print file "|" kernel "|" arch "|" registers "|" stores "|" loads "|" shared
    }' "$work/log"
}

for source in kernels/*.cu; do ptxas_lines "$source"; done |
  c++filt -p | sed -e 's/limbeck:://g' -e 's/(anonymous namespace):://g' -e 's/^kernels\///' |
  sort -t '|' -k1,1 -k2,2 -k3,3V >"$work/rows"

table=tools/bench/results/ptxas.md
mkdir -p "$(dirname "$table")"
spilling=$(awk -F '|' '$5 + $6 > 0' "$work/rows" | wc -l)
{
  echo "# Registers, spills and static shared memory of the CUDA kernels"
  echo
  echo "Commit $(git describe --always --dirty), $(nvcc --version | sed -n 's/.*\(release [^,]*\),.*/nvcc \1/p')," \
    "by \`tools/ptxas-table.sh ${architectures[*]}\`. $(wc -l <"$work/rows") lines, $spilling of them with spills."
  echo
  echo "| file | kernel | arch | registers | spill stores, bytes | spill loads, bytes | shared, bytes |"
  echo "|---|---|---|---|---|---|---|"
  sed -e 's/|/ | /g' -e 's/^/| /' -e 's/$/ |/' "$work/rows"
} >"$table"
echo "$table"
