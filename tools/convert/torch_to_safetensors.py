#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Turns a PyTorch weight file (.pt, .pth, .bin) into safetensors, which limbeck reads.

    tools/convert/torch_to_safetensors.py model.pth model.safetensors [--key model] [--strip module.]

Needs the Python packages torch and safetensors. Only weights are read: torch.load runs with
weights_only, so a file that would execute code is refused.
"""

import argparse
import pickle
import sys

import torch
from safetensors.torch import save_file

# Where training programs put the weights within a checkpoint.
USUAL_KEYS = ("state_dict", "model_state_dict", "model", "module")


def fail(message):
    sys.exit(f"torch_to_safetensors: {message}")


def load(path):
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        fail(f"{path}: holds more than weights, so it is not opened")
    except (OSError, RuntimeError, EOFError) as error:
        fail(f"{path}: {str(error).splitlines()[0]}")


def is_state(value):
    return isinstance(value, dict) and any(isinstance(v, torch.Tensor) for v in value.values())


def find_state(content, key, path):
    """The name-to-tensor dictionary: at `key` (dotted), at the top, or at a usual place."""
    if key:
        for part in key.split("."):
            if not isinstance(content, dict) or part not in content:
                fail(f"{path}: has no '{part}' of --key {key}")
            content = content[part]
        if not is_state(content):
            fail(f"{path}: --key {key} holds no tensors")
        return content
    if is_state(content):
        return content
    for usual in USUAL_KEYS:
        if isinstance(content, dict) and is_state(content.get(usual)):
            return content[usual]
    keys = ", ".join(map(str, content)) if isinstance(content, dict) else type(content).__name__
    fail(f"{path}: no weights found among {keys}; name their place with --key")


def convert(state, strip):
    """Plain tensors under their names without the prefix; what is no tensor is reported."""
    tensors = {}
    for name, value in state.items():
        if not isinstance(value, torch.Tensor):
            print(f"left out: {name} is a {type(value).__name__}", file=sys.stderr)
            continue
        short = name.removeprefix(strip)
        if short in tensors:
            fail(f"two tensors become '{short}'")
        # Tied weights share memory, which the format does not allow.
        tensors[short] = value.detach().to_dense().contiguous().clone()
    return tensors


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", help=".pt, .pth or .bin")
    parser.add_argument("target", help="safetensors file to write")
    parser.add_argument("--key", help="dotted place of the weights within the file")
    parser.add_argument("--strip", default="", help="prefix to take off names, as 'module.'")
    arguments = parser.parse_args()
    state = find_state(load(arguments.source), arguments.key, arguments.source)
    tensors = convert(state, arguments.strip)
    save_file(tensors, arguments.target, metadata={"format": "pt"})
    print(f"{arguments.target}: {len(tensors)} tensors")


if __name__ == "__main__":
    main()
