# SPDX-License-Identifier: Apache-2.0
"""From a model's description and weights to a graph."""

from . import attention, images, joins, linear, norms, pointwise, recurrent, tokens
from .graph import FixedTokens, Graph, NoOnnxForm

LAYERS = {}
for kind in (pointwise, linear, images, norms, tokens, recurrent, attention):
    LAYERS |= kind.LAYERS
TYPES = [*LAYERS, *joins.JOINS]


def flat(layers):
    """Without the groups that say what training computes again."""
    for layer in layers:
        yield from layer["layers"] if "type" not in layer else [layer]


def reads_tokens(layers):
    """Whether the input is tokens' numbers and no features."""
    return any(layer["type"] == "embedding" and inputs == ["input"] for layer, _, inputs in layers)


def named(layers):
    """(layer, name, what it reads) of each."""
    last = "input"
    for i, layer in enumerate(flat(layers)):
        given = layer.get("from", last)
        last = layer.get("name") or str(i)
        yield layer, last, list(given) if isinstance(given, list) else [given]


def build(model, weights, context=0, lengths=False):
    """The graph, with "output" as the last value's name in graph.output.

    context: the most tokens that rotary positions are made for; 0: those of a training sample.
    lengths: with the second input of lengths.py.
    Raises NoOnnxForm.
    """
    layers, shape = list(named(model["layers"])), model["input"]
    if len(shape) == 3:
        return add_layers(layers, Graph(weights, [shape[2], *shape[:2]], 1, lengths))
    if not reads_tokens(layers):
        return add_layers(layers, Graph(weights, shape, 1, lengths))
    try:
        return add_layers(layers, Graph(weights, ["T"], context or shape[0], lengths))
    except FixedTokens:
        return add_layers(layers, Graph(weights, shape, shape[0], lengths))


def add_layers(layers, graph):
    graph.tokens = reads_tokens(layers)
    for layer, name, inputs in layers:
        kind = layer["type"]
        if kind in joins.JOINS:
            graph.shapes[name] = joins.JOINS[kind](graph, inputs, name)
        elif kind in LAYERS:
            graph.shapes[name] = LAYERS[kind](graph, layer, inputs[0], name)
        else:
            raise NoOnnxForm(f"layer '{name}' is of type {kind}, which has no ONNX form here")
        graph.images[name] = image_of(graph, name, kind, inputs[0])
        graph.output = name
    if graph.lengths and not graph.uses_lengths:
        raise NoOnnxForm("the model has no layer to which lengths matter")
    return graph


def image_of(graph, name, kind, x):
    """Whose cells the value still has, as build_model keeps it."""
    if kind in ("linear", "tied_linear") or graph.rank(name) != 2:
        return None
    return tuple(graph.shapes[x][1:]) if graph.rank(x) == 4 else graph.images.get(x)
