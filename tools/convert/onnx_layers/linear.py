# SPDX-License-Identifier: Apache-2.0
"""Linear layers, those that share another's weight, and flatten."""

import numpy as np

from .graph import FixedTokens


def linear(graph, layer, x, name):
    weight = graph.value(f"{name}.weight")
    if graph.rank(x) == 4:  # a file's columns run over (C,H,W) after an image
        x = graph.node("Flatten", [x], f"{name}/flat", axis=1)
        shape = ["N", weight.shape[0]]
    else:
        weight = columns_as_flattened(graph, x, weight)
        shape = [*graph.shapes[x][:-1], weight.shape[0]]
    bias = layer.get("bias", True)
    columns = graph.constant(f"{name}.weight/T", weight.T)
    product = graph.node("MatMul", [x, columns], f"{name}/product" if bias else name)
    if bias:
        graph.node("Add", [product, graph.weight(f"{name}.bias")], name)
    return shape


def columns_as_flattened(graph, x, weight):
    """Cells that flatten has made a row of are in the order (H,W,C)."""
    image = graph.images.get(x)
    if image is None or np.prod(image) != weight.shape[1]:
        return weight
    return weight.reshape(-1, *image).transpose(0, 2, 3, 1).reshape(weight.shape)


def tied_linear(graph, layer, x, name):
    """The table is stored once, as the embedding has it."""
    table = graph.weight(f"{layer['to']}.weight")
    columns = graph.node("Transpose", [table], f"{name}/columns", perm=[1, 0])
    graph.node("MatMul", [x, columns], name)
    return [*graph.shapes[x][:-1], graph.constants[table].shape[0]]


def flatten(graph, layer, x, name):
    shape = graph.shapes[x]
    if any(isinstance(extent, str) for extent in shape[1:]):
        raise FixedTokens
    if len(shape) == 4:
        x = graph.node("Transpose", [x], f"{name}/nhwc", perm=[0, 2, 3, 1])
    graph.node("Flatten", [x], name, axis=1)
    return ["N", int(np.prod(shape[1:]))]


LAYERS = {"linear": linear, "tied_linear": tied_linear, "flatten": flatten}
