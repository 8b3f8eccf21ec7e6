# SPDX-License-Identifier: Apache-2.0
"""Tables, what is added to tokens, and one vector for all of them."""

import numpy as np

from .lengths import last_token, mean_of_valid


def embedding(graph, layer, x, name):
    graph.node("Gather", [graph.weight(f"{name}.weight"), x], name, axis=0)
    return [*graph.shapes[x], layer["dim"]]


def position_embedding(graph, layer, x, name):
    """More tokens than the table has rows are an error when it runs."""
    rows = [graph.weight(f"{name}.weight"), graph.positions(x)]
    graph.node("Add", [x, graph.node("Gather", rows, f"{name}/rows", axis=0)], name)
    return graph.shapes[x]


def type_embedding(graph, layer, x, name):
    row = graph.constant(f"{name}/row", graph.value(f"{name}.weight")[0])
    graph.node("Add", [x, row], name)
    return graph.shapes[x]


def class_token(graph, layer, x, name):
    count, tokens, width = graph.shapes[x]
    row = graph.constant(f"{name}.weight", graph.value(f"{name}.weight").reshape(1, 1, width))
    samples = graph.node("Shape", [x], f"{name}/samples", start=0, end=1)
    extents = graph.node("Concat", [samples, graph.integers(1, width)], f"{name}/extents", axis=0)
    first = graph.node("Expand", [row, extents], f"{name}/first")
    graph.node("Concat", [first, x], name, axis=1)
    return [count, f"{tokens}+1" if isinstance(tokens, str) else tokens + 1, width]


def image_tokens(graph, layer, x, name):
    count, channels, height, width = graph.shapes[x]
    cells = graph.node("Reshape", [x, graph.integers(0, channels, -1)], f"{name}/cells")
    graph.node("Transpose", [cells], name, perm=[0, 2, 1])
    return [count, height * width, channels]


def select_token(graph, layer, x, name):
    if layer["position"] == "last" and graph.lengths:
        last_token(graph, x, name)
    else:
        at = np.array(0 if layer["position"] == "first" else -1, np.int64)
        graph.node("Gather", [x, graph.constant(f"{name}/at", at)], name, axis=1)
    return [graph.shapes[x][0], graph.shapes[x][2]]


def mean_tokens(graph, layer, x, name):
    if graph.lengths:
        mean_of_valid(graph, x, name)
    else:
        graph.node("ReduceMean", [x, graph.integers(1)], name, keepdims=0)
    return [graph.shapes[x][0], graph.shapes[x][2]]


LAYERS = {
    "embedding": embedding,
    "position_embedding": position_embedding,
    "type_embedding": type_embedding,
    "class_token": class_token,
    "image_tokens": image_tokens,
    "select_token": select_token,
    "mean_tokens": mean_tokens,
}
