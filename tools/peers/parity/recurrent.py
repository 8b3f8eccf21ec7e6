# SPDX-License-Identifier: Apache-2.0
"""torch.nn.RNN, LSTM and GRU: two layers in both directions, with lengths, with initial states."""

import torch
from fixture import run, seeded, write
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

LENGTHS = [4, 1, 3]


def whole(module, x):
    return module(x)[0]


def packed(module, x):
    sequences = pack_padded_sequence(x, LENGTHS, batch_first=True, enforce_sorted=False)
    return pad_packed_sequence(module(sequences)[0], batch_first=True, total_length=x.shape[1])[0]


def from_states(module, x, *states):
    return module(x, states if len(states) == 2 else states[0])[0]


torch.manual_seed(0)
cases = {}
for name, kind, options in (
    ("tanh", torch.nn.RNN, {}),
    ("relu", torch.nn.RNN, {"nonlinearity": "relu"}),
    ("lstm", torch.nn.LSTM, {}),
    ("gru", torch.nn.GRU, {}),
):
    deep = kind(3, 2, num_layers=2, bidirectional=True, batch_first=True, **options)
    if name == "lstm":
        cases["lstm_deep"] = run(deep, seeded(2, 3, 3), call=whole)
        deep.zero_grad()
    cases[name + "_packed"] = run(deep, seeded(3, 4, 3, seed=1), call=packed)
    states = [seeded(1, 2, 2, seed=2 + i) for i in range(2 if name == "lstm" else 1)]
    single = kind(3, 2, bias=False, batch_first=True, **options)
    cases[name + "_states"] = run(single, seeded(2, 3, 3), *states, call=from_states)
write("recurrent", cases)
