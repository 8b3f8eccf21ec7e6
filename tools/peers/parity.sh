#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Makes tests/fixtures/<name>.safetensors: inputs, weights, outputs and gradients of PyTorch's own
# layers, which limbeck's tests compare with. The files are committed, so tests need no PyTorch.
#
#   tools/peers/parity.sh [name...]     all of tools/peers/parity/<name>.py without a name
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

venv=${LIMBECK_PEERS:-.venv-peers}
python=$(realpath -m "$venv")/bin/python
if ! "$python" -c 'import torch, numpy, safetensors, transformers, timm' 2>/dev/null; then
  echo "installing PyTorch and model collections in $venv"
  python3 -m venv "$venv"
  "$python" -m pip install -q --disable-pip-version-check \
    torch torchvision numpy safetensors transformers timm
fi
names=("$@")
if [[ $# == 0 ]]; then
  for file in tools/peers/parity/*.py; do
    name=$(basename "$file" .py)
    [[ $name == fixture ]] || names+=("$name")
  done
fi
for name in "${names[@]}"; do
  (cd tools/peers/parity && "$python" -W ignore "$name.py")
done
