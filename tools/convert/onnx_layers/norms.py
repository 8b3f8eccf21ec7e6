# SPDX-License-Identifier: Apache-2.0
"""Normalisation. Those over the last axis see an image's channels last."""

import numpy as np


def channels_last(norm):
    def add(graph, layer, x, name):
        if graph.rank(x) != 4:
            norm(graph, layer, x, name, name)
            return graph.shapes[x]
        inside = graph.node("Transpose", [x], f"{name}/nhwc", perm=[0, 2, 3, 1])
        norm(graph, layer, inside, name, f"{name}/normal")
        graph.node("Transpose", [f"{name}/normal"], name, perm=[0, 3, 1, 2])
        return graph.shapes[x]

    return add


@channels_last
def layer_norm(graph, layer, x, name, output):
    inputs = [x, graph.weight(f"{name}.weight")]
    if layer.get("bias", True):
        inputs.append(graph.weight(f"{name}.bias"))
    graph.node("LayerNormalization", inputs, output, axis=-1, epsilon=layer.get("eps", 1e-5))


@channels_last
def rms_norm(graph, layer, x, name, output):
    square = graph.node("Mul", [x, x], f"{name}/square")
    mean = graph.node("ReduceMean", [square, graph.integers(-1)], f"{name}/mean", keepdims=1)
    safe = graph.node("Add", [mean, graph.number(layer.get("eps", 1e-6))], f"{name}/safe")
    root = graph.node("Sqrt", [safe], f"{name}/root")
    unit = graph.node("Div", [x, root], f"{name}/unit")
    graph.node("Mul", [unit, graph.weight(f"{name}.weight")], output)


def batch_norm(graph, layer, x, name):
    shape = graph.shapes[x]
    tokens = len(shape) == 3  # whose channels come last
    if tokens:
        x = graph.node("Transpose", [x], f"{name}/ncl", perm=[0, 2, 1])
    parts = ("weight", "bias", "running_mean", "running_var")
    inputs = [x] + [graph.weight(f"{name}.{part}") for part in parts]
    output = f"{name}/normal" if tokens else name
    graph.node("BatchNormalization", inputs, output, epsilon=layer.get("eps", 1e-5))
    if tokens:
        graph.node("Transpose", [output], name, perm=[0, 2, 1])
    return shape


def group_norm(graph, layer, x, name):
    """Instance norm of the groups as rows, then scaled per channel."""
    shape, groups = graph.shapes[x], layer["groups"]
    weight, bias = (graph.value(f"{name}.{part}") for part in ("weight", "bias"))
    channels = weight.shape[0]
    tokens = len(shape) == 3
    if tokens:
        x = graph.node("Transpose", [x], f"{name}/ncl", perm=[0, 2, 1])
    rows = graph.node("Reshape", [x, graph.integers(0, groups, -1)], f"{name}/rows")
    ones = graph.constant(f"{name}/ones", np.ones(groups, np.float32))
    zeros = graph.constant(f"{name}/zeros", np.zeros(groups, np.float32))
    unit = graph.node("InstanceNormalization", [rows, ones, zeros], f"{name}/unit_rows",
                      epsilon=layer.get("eps", 1e-5))  # fmt: skip
    extents = [0, channels, -1] if tokens else [0, *shape[1:]]
    unit = graph.node("Reshape", [unit, graph.integers(*extents)], f"{name}/unit")
    over = (channels,) + (1,) * (len(shape) - 2)
    scale = graph.constant(f"{name}.weight", weight.reshape(over))
    shift = graph.constant(f"{name}.bias", bias.reshape(over))
    scaled = graph.node("Mul", [unit, scale], f"{name}/scaled")
    graph.node("Add", [scaled, shift], f"{name}/normal" if tokens else name)
    if tokens:
        graph.node("Transpose", [f"{name}/normal"], name, perm=[0, 2, 1])
    return shape


LAYERS = {
    "layer_norm": layer_norm,
    "rms_norm": rms_norm,
    "batch_norm": batch_norm,
    "group_norm": group_norm,
}
