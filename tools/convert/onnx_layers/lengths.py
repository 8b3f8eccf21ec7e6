# SPDX-License-Identifier: Apache-2.0
"""The second input, "lengths" (N) of int32 in 1 to T: how many tokens of each sample are valid."""

INT64, FLOAT = 7, 1  # onnx.TensorProto's numbers for them


def wide(graph):
    """(N,1) of int64."""

    def make():
        column = graph.node("Unsqueeze", [graph.lengths, graph.integers(1)], "/lengths.column")
        graph.node("Cast", [column], "/lengths.wide", to=INT64)

    return graph.once("/lengths.wide", make)


def beyond(graph, x):
    """(N,T): whether a token of x (N,T,...) comes after the valid ones."""
    positions, ends = graph.positions(x), wide(graph)
    name = f"{positions}/beyond"
    return graph.once(name, lambda: graph.node("GreaterOrEqual", [positions, ends], name))


def last_token(graph, x, name):
    """The last valid token of x (N,T,D)."""
    at = graph.once(
        "/lengths.last",
        lambda: graph.node("Sub", [wide(graph), graph.integers(1)], "/lengths.last"),
    )
    graph.node("GatherND", [x, at], name, batch_dims=1)


def mean_of_valid(graph, x, name):
    """The mean of the valid tokens of x (N,T,D)."""
    hidden = graph.node("Unsqueeze", [beyond(graph, x), graph.integers(2)], f"{name}/hidden")
    kept = graph.node("Where", [hidden, graph.number(0), x], f"{name}/kept")
    total = graph.node("ReduceSum", [kept, graph.integers(1)], f"{name}/total", keepdims=0)
    count = graph.node("Cast", [wide(graph)], f"{name}/count", to=FLOAT)
    graph.node("Div", [total, count], name)
