# SPDX-License-Identifier: Apache-2.0
"""Self-attention of many heads: (N,T,width) to the same shape."""

import math

import numpy as np

from .lengths import beyond


def self_attention(graph, layer, x, name):
    width, heads = graph.shapes[x][2], layer["heads"]
    keys = layer.get("kv_heads", 0) or heads
    head = layer.get("head_width", 0) or width // heads
    bias = layer.get("bias", True)
    scale = layer.get("scale", 0) or 1 / math.sqrt(head)

    packed = product(graph, x, f"{name}.qkv", layer.get("qkv_bias", bias))
    extents = graph.integers(0, 0, heads + 2 * keys, head)
    packed = graph.node("Reshape", [packed, extents], f"{name}/heads")
    if layer.get("rotary_theta", 0) > 0:
        q, k, v = turned(graph, layer["rotary_theta"], x, packed, name, heads, keys, head)
    else:
        q, k, v = split(graph, packed, name, [("q", heads), ("k", keys), ("v", keys)], axis=2)
    attended = attend(graph, layer, x, name, (q, k, v), (heads, keys), scale)
    extents = graph.integers(0, 0, heads * head)
    rows = graph.node("Reshape", [attended, extents], f"{name}/attended")
    product(graph, rows, f"{name}.out", layer.get("out_bias", bias), name)
    return graph.shapes[x]


def product(graph, x, weights, bias, output=None):
    output = output or f"{weights}/y"
    columns = graph.constant(f"{weights}.weight/T", graph.value(f"{weights}.weight").T)
    result = graph.node("MatMul", [x, columns], f"{weights}/product" if bias else output)
    if bias:
        graph.node("Add", [result, graph.weight(f"{weights}.bias")], output)
    return output


def split(graph, x, name, parts, axis):
    sizes = graph.integers(*(size for _, size in parts))
    return graph.node_of_many("Split", [x, sizes], [f"{name}/{part}" for part, _ in parts], axis=axis)


def attend(graph, layer, x, name, qkv, heads, scale):
    """q (N,T,H,D), k and v (N,T,G,D) to (N,T,H,D), or (N,T,G,H/G,D) for H/G queries per key."""
    queries, keys = heads
    many = queries // keys
    q, k, v = qkv
    if many > 1:  # k and v have one head where q has H/G, and products repeat it
        q = graph.node("Reshape", [q, graph.integers(0, 0, keys, many, -1)], f"{name}/q_groups")
        k = graph.node("Unsqueeze", [k, graph.integers(3)], f"{name}/k_groups")
        v = graph.node("Unsqueeze", [v, graph.integers(3)], f"{name}/v_groups")
    rows, columns = ([0, 2, 3, 1, 4], [0, 2, 3, 4, 1]) if many > 1 else ([0, 2, 1, 3], [0, 2, 3, 1])
    back = [0, 3, 1, 2, 4] if many > 1 else [0, 2, 1, 3]
    q = graph.node("Mul", [q, graph.number(scale)], f"{name}/q_scaled")
    q = graph.node("Transpose", [q], f"{name}/q_rows", perm=rows)
    k = graph.node("Transpose", [k], f"{name}/k_columns", perm=columns)
    v = graph.node("Transpose", [v], f"{name}/v_rows", perm=rows)
    scores = graph.node("MatMul", [q, k], f"{name}/scores")
    hidden = hidden_keys(graph, layer, x, axes=[1, 2, 3] if many > 1 else [1, 2])
    if hidden:
        never = graph.number(-math.inf)
        scores = graph.node("Where", [hidden, never, scores], f"{name}/seen")
    shares = graph.node("Softmax", [scores], f"{name}/shares", axis=-1)
    mixed = graph.node("MatMul", [shares, v], f"{name}/mixed")
    return graph.node("Transpose", [mixed], f"{name}/tokens", perm=back)


def hidden_keys(graph, layer, x, axes):
    """Which keys a query does not see, as the scores have them; none: all are seen. The axes are
    those between samples and keys."""
    causal = layer.get("causal", False)
    if not graph.lengths:
        return later(graph, x) if causal else None
    after = beyond(graph, x)
    name = f"{after}.{len(axes)}"
    keys = graph.once(name, lambda: graph.node("Unsqueeze", [after, graph.integers(*axes)], name))
    if not causal:
        return keys
    both = f"{keys}/later"
    return graph.once(both, lambda: graph.node("Or", [keys, later(graph, x)], both))


def later(graph, x):
    """(T,T): whether key j comes after query i."""
    positions = graph.positions(x)

    def make():
        rows = graph.node("Unsqueeze", [positions, graph.integers(1)], f"{positions}/rows")
        graph.node("Less", [rows, positions], f"{positions}/later")

    return graph.once(f"{positions}/later", make)


def turned(graph, theta, x, packed, name, heads, keys, head):
    """Rotary positions: the halves of a head are the pairs."""
    cos, sin = angles(graph, theta, x, head)
    turning, v = split(graph, packed, name, [("turning", heads + keys), ("v", keys)], axis=2)
    halves = [("first", head // 2), ("second", head // 2)]
    first, second = split(graph, turning, name, halves, axis=3)

    def mul(a, b, what):
        return graph.node("Mul", [a, b], f"{name}/{what}")

    left = graph.node("Sub", [mul(first, cos, "first_cos"), mul(second, sin, "second_sin")],
                      f"{name}/left")  # fmt: skip
    right = graph.node("Add", [mul(second, cos, "second_cos"), mul(first, sin, "first_sin")],
                       f"{name}/right")  # fmt: skip
    result = graph.node("Concat", [left, right], f"{name}/turned", axis=3)
    return [*split(graph, result, name, [("q", heads), ("k", keys)], axis=2), v]


def angles(graph, theta, x, head):
    """Cosines and sines (T,1,D/2) of position times theta^(-2d/D): the tables' first rows."""
    positions, tokens = graph.positions(x), graph.shapes[x][1]
    rows = graph.context if isinstance(tokens, str) else tokens
    prefix = f"/rotary.{float(theta)!r}.{head}"
    frequencies = float(theta) ** (-2 * np.arange(head // 2) / head)
    found = []
    for what, function in (("cos", np.cos), ("sin", np.sin)):
        table = function(np.outer(np.arange(rows), frequencies)).astype(np.float32)

        def make(what=what, table=table):
            all_rows = graph.constant(f"{prefix}.{what}.{len(table)}", table[:, None, :])
            graph.node("Gather", [all_rows, positions], f"{prefix}/{what}{positions}", axis=0)

        found.append(graph.once(f"{prefix}/{what}{positions}", make))
    return found


LAYERS = {"self_attention": self_attention}
