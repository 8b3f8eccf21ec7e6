# SPDX-License-Identifier: Apache-2.0
"""What becomes one value of several."""


def chain(op):
    """Two at a time, from the first on."""

    def add(graph, inputs, name):
        value = inputs[0]
        for k, other in enumerate(inputs[1:]):
            last = k == len(inputs) - 2
            value = graph.node(op, [value, other], name if last else f"{name}/{k}")
        return graph.shapes[inputs[0]]

    return add


def concat(graph, inputs, name):
    shapes = [graph.shapes[x] for x in inputs]
    axis = 1 if len(shapes[0]) == 4 else len(shapes[0]) - 1  # an image's channels
    graph.node("Concat", inputs, name, axis=axis)
    result = list(shapes[0])
    result[axis] = sum(shape[axis] for shape in shapes)
    return result


def swiglu(graph, inputs, name):
    gate, value = inputs
    sigmoid = graph.node("Sigmoid", [gate], f"{name}/sigmoid")
    silu = graph.node("Mul", [gate, sigmoid], f"{name}/silu")
    graph.node("Mul", [silu, value], name)
    return graph.shapes[gate]


JOINS = {"add": chain("Add"), "mul": chain("Mul"), "concat": concat, "swiglu": swiglu}
