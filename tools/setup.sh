#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Installs what the build needs on Debian or Ubuntu; silent and without effect when all is there.
set -euo pipefail

needed=(g++ cmake ninja-build libgtest-dev nlohmann-json3-dev libcli11-dev zlib1g-dev libxxhash-dev)
optional=(libdnnl-dev libjpeg-dev libpng-dev) # oneDNN, for --math fast; folders of images

declare -A program_of=([g++]=g++ [cmake]=cmake [ninja-build]=ninja)
is_there() {
  if [[ -n ${program_of[$1]:-} ]] && command -v "${program_of[$1]}" >/dev/null; then return 0; fi
  dpkg-query -W -f '${Status}' "$1" 2>/dev/null | grep -q 'ok installed'
}

missing=()
for package in "${needed[@]}"; do is_there "$package" || missing+=("$package"); done
wanted=()
for package in "${optional[@]}"; do is_there "$package" || wanted+=("$package"); done
[[ ${#missing[@]} -gt 0 || ${#wanted[@]} -gt 0 ]] || exit 0

give_up() {
  echo "setup: $1; please install: ${missing[*]}" >&2
  exit 1
}
as_root=()
if [[ $EUID -ne 0 ]]; then
  # Nobody is asked for a password for something optional.
  [[ ${#missing[@]} -gt 0 ]] || exit 0
  command -v sudo >/dev/null || give_up "neither root nor sudo"
  as_root=(sudo)
fi
if ! command -v apt-get >/dev/null; then
  [[ ${#missing[@]} -gt 0 ]] || exit 0
  give_up "no apt-get on this machine"
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
install() {
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q \
    --no-install-recommends "$@" </dev/null >"$log" 2>&1
}
update() { "${as_root[@]}" apt-get update -q </dev/null >"$log" 2>&1; }

if [[ ${#missing[@]} -gt 0 ]]; then
  echo "setup: installing ${missing[*]}"
  update || true # an old list may do
  if ! install "${missing[@]}"; then
    tail -n 15 "$log" >&2
    give_up "apt-get failed"
  fi
elif ! apt-cache show "${wanted[@]}" >/dev/null 2>&1; then
  exit 0
fi
if [[ ${#wanted[@]} -gt 0 ]]; then
  for package in "${wanted[@]}"; do # one by one: not every release has each
    install "$package" || echo "setup: no $package; limbeck builds without what needs it"
  done
fi
