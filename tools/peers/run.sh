#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Times limbeck against PyTorch in the same run. PyTorch goes into a virtual environment of its own
# (.venv-peers, or $LIMBECK_PEERS); neither build nor tests need it. Where Liger-Kernel is installed
# there too, it takes part on a GPU.
#
#   tools/peers/run.sh [options]            one distillation step; compare.py's options:
#                                           --threads 1 2 --passes 5 --seconds 1
#   tools/peers/run.sh train [options]      training steps of small models; train.py's options:
#                                           --threads 1 2 --passes 5 --seconds 1 --compile
#   tools/peers/run.sh kernels [stem...] [options]    kernels; kernels.py's options:
#                                           --device cuda --threads 1 2 --passes 3 --seconds 0.5
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source tools/build.sh

script=compare
if [[ ${1:-} == kernels || ${1:-} == train ]]; then
  script=$1
  shift
fi
folder=build/peers gpu=off
if [[ " $* " == *" cuda "* ]]; then
  folder=build/peers-cuda gpu=cuda
fi

venv=${LIMBECK_PEERS:-.venv-peers}
python=$venv/bin/python
if ! "$python" -c 'import torch' 2>/dev/null; then
  echo "installing PyTorch in $venv"
  python3 -m venv "$venv"
  "$python" -m pip install -q --disable-pip-version-check torch
fi
tools/setup.sh
limbeck_build "$folder" -DCMAKE_BUILD_TYPE=Release -DLIMBECK_GPU=$gpu -DLIMBECK_BUILD_TESTS=OFF
exec "$python" -W ignore "tools/peers/$script.py" --program "$folder/limbeck" "$@"
