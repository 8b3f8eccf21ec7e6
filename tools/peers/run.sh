#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Times one distillation step against PyTorch in the same run. PyTorch goes into a virtual
# environment of its own (.venv-peers, or $LIMBECK_PEERS); neither build nor tests need it.
# Arguments go to compare.py: --threads 1 2 --passes 5 --seconds 1
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source tools/build.sh

venv=${LIMBECK_PEERS:-.venv-peers}
python=$venv/bin/python
if ! "$python" -c 'import torch' 2>/dev/null; then
  echo "installing PyTorch in $venv"
  python3 -m venv "$venv"
  "$python" -m pip install -q --disable-pip-version-check torch
fi
tools/setup.sh
limbeck_build build/peers -DCMAKE_BUILD_TYPE=Release -DLIMBECK_GPU=off -DLIMBECK_BUILD_TESTS=OFF
exec "$python" -W ignore tools/peers/compare.py --program build/peers/limbeck "$@"
