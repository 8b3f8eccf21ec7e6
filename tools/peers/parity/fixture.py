# SPDX-License-Identifier: Apache-2.0
"""Writes what PyTorch computes as a fixture for limbeck's tests."""

import pathlib

import torch
from safetensors.torch import save_file

FOLDER = pathlib.Path(__file__).resolve().parents[3] / "tests" / "fixtures"


def seeded(*shape, seed=0, scale=1.0):
    """Normal numbers that are the same on every run."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator) * scale


def weights(module, prefix="w."):
    """A module's state under PyTorch's names."""
    return {prefix + name: value for name, value in module.state_dict().items()}


def run(module, *inputs, call=None):
    """y, dy, the inputs x0.. with their gradients dx0.., the weights w.* with theirs, dw.*.

    The weights are those before the pass; call(module, *inputs) replaces module(*inputs).
    """
    found = {name: value.clone() for name, value in weights(module).items()}
    leaves = [x.clone().requires_grad_(x.is_floating_point()) for x in inputs]
    y = call(module, *leaves) if call else module(*leaves)
    dy = seeded(*y.shape, seed=99)
    y.backward(dy)
    found |= {"y": y, "dy": dy}
    for i, x in enumerate(leaves):
        found[f"x{i}"] = x
        if x.grad is not None:
            found[f"dx{i}"] = x.grad
    for name, parameter in module.named_parameters():
        if parameter.grad is not None:
            found["dw." + name] = parameter.grad
    return found


def write(name, cases):
    """cases: {case: {tensor: value}} as tests/fixtures/<name>.safetensors, names "<case>/<tensor>"."""
    tensors = {
        f"{case}/{key}": value.detach().contiguous().clone()
        for case, found in cases.items()
        for key, value in found.items()
    }
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{name}.safetensors"
    save_file(tensors, path, metadata={"torch": torch.__version__})
    path.chmod(0o644)
    print(f"{path.name}: {len(tensors)} tensors, {path.stat().st_size} bytes")
