# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Shared by the scripts beside it, which source this file: configures and builds one folder.

# limbeck_build <folder> [cmake options...]: builds $target, or all of it, quietly unless something
# fails.
limbeck_build() {
  local folder=$1 log
  shift
  log=$(mktemp)
  echo "building in $folder"
  if ! { cmake -S . -B "$folder" -G Ninja "-DCMAKE_CUDA_ARCHITECTURES=$(cuda_architecture)" "$@" &&
    cmake --build "$folder" -j "$(nproc)" --target "${target:-all}"; } </dev/null >"$log" 2>&1; then
    tail -n 60 "$log" >&2
    rm -f "$log"
    echo "the build in $folder failed" >&2
    return 1
  fi
  grep -h '^-- limbeck' "$log" || true
  rm -f "$log"
}

# That of the first GPU, as 90 for compute capability 9.0; 90 where there is none.
cuda_architecture() {
  local found
  found=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | head -n 1) || true
  found=${found//./}
  [[ $found =~ ^[0-9]+$ ]] && echo "$found" || echo 90
}
