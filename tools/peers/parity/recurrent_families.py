# SPDX-License-Identifier: Apache-2.0
"""LSTM and GRU as language models and, of texts of different lengths, as classifiers."""

import torch
from fixture import run, write
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

LENGTHS = [6, 2, 4]


def ids(rows, steps, vocabulary):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(vocabulary, (rows, steps), generator=generator, dtype=torch.int32)


class Recurrent(nn.Module):
    """Named as its kind is: "lstm" or "gru"."""

    def __init__(self, kind, outputs):
        super().__init__()
        self.kind = kind.__name__.lower()
        self.embedding = nn.Embedding(11, 4)
        setattr(self, self.kind, kind(4, 3, num_layers=2, batch_first=True))
        self.head = nn.Linear(3, outputs)

    def forward(self, tokens):
        return self.head(getattr(self, self.kind)(self.embedding(tokens))[0])


def classified(model, tokens):
    """By the last layer's state after each text's last token."""
    packed = pack_padded_sequence(
        model.embedding(tokens), LENGTHS, batch_first=True, enforce_sorted=False
    )
    states = getattr(model, model.kind)(packed)[1]
    return model.head((states[0] if model.kind == "lstm" else states)[-1])


torch.manual_seed(0)
cases = {}
for kind in (nn.LSTM, nn.GRU):
    name = kind.__name__.lower()
    cases[name + "_lm"] = run(Recurrent(kind, 11), ids(2, 5, 11))
    cases[name + "_classifier"] = run(Recurrent(kind, 3), ids(3, 6, 11), call=classified)
write("recurrent_families", cases)
