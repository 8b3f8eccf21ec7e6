#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Installs what is missing, builds and distils a small student from a big teacher, with data that
# is drawn on the spot. Arguments go to `limbeck distill`, e.g. --device cuda:0 or --out <folder>.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source tools/build.sh

tools/setup.sh
gpu=off
if nvidia-smi >/dev/null 2>&1; then gpu=auto; fi
limbeck_build build/demo -DCMAKE_BUILD_TYPE=Release -DLIMBECK_GPU=$gpu -DLIMBECK_BUILD_TESTS=OFF
exec build/demo/limbeck distill tools/configs/synthetic-digits.json "$@"
