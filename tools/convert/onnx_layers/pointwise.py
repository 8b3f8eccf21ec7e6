# SPDX-License-Identifier: Apache-2.0
"""Activations, softmax and what does nothing once a model is trained."""


def one_node(op, **attributes):
    def add(graph, layer, x, name):
        graph.node(op, [x], name, **attributes)
        return graph.shapes[x]

    return add


def over_channels(op):
    """Along the last axis, which is an image's channels."""

    def add(graph, layer, x, name):
        graph.node(op, [x], name, axis=1 if graph.rank(x) == 4 else -1)
        return graph.shapes[x]

    return add


def relu6(graph, layer, x, name):
    graph.node("Clip", [x, graph.number(0), graph.number(6)], name)
    return graph.shapes[x]


def silu(graph, layer, x, name):
    gate = graph.node("Sigmoid", [x], f"{name}/sigmoid")
    graph.node("Mul", [x, gate], name)
    return graph.shapes[x]


LAYERS = {
    "relu": one_node("Relu"),
    "tanh": one_node("Tanh"),
    "sigmoid": one_node("Sigmoid"),
    "gelu": one_node("Gelu"),
    "gelu_tanh": one_node("Gelu", approximate="tanh"),
    "hardswish": one_node("HardSwish"),
    "relu6": relu6,
    "silu": silu,
    "softmax": over_channels("Softmax"),
    "log_softmax": over_channels("LogSoftmax"),
    "dropout": one_node("Identity"),
    "drop_path": one_node("Identity"),
}
