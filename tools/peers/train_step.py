# SPDX-License-Identifier: Apache-2.0
"""Training steps in PyTorch, the twins of tools/bench/train_step_bench.cpp.

Forward, backward and AdamW of four small models on random data. Prints one JSON object per model.
"""

import argparse
import json

import torch
from torch import nn
from torch.nn import functional as F

from step_times import measure

CLASSES, VOCABULARY = 10, 65


def conv_norm(inputs, out, kernel=3, stride=1):
    return nn.Sequential(nn.Conv2d(inputs, out, kernel, stride, kernel // 2, bias=False),
                         nn.BatchNorm2d(out))


def small_cnn():
    layers = []
    for inputs, out in ((3, 32), (32, 64), (64, 128)):
        layers += [conv_norm(inputs, out), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, CLASSES))


class ResidualBlock(nn.Module):
    def __init__(self, inputs, out, stride):
        super().__init__()
        self.a, self.b = conv_norm(inputs, out, stride=stride), conv_norm(out, out)
        self.shortcut = conv_norm(inputs, out, 1, stride) if stride > 1 else nn.Identity()

    def forward(self, x):
        return F.relu(self.b(F.relu(self.a(x))) + self.shortcut(x))


def resnet20():
    layers, inputs = [conv_norm(3, 16), nn.ReLU()], 16
    for block in range(9):
        out = 16 << block // 3
        layers.append(ResidualBlock(inputs, out, 2 if out > inputs else 1))
        inputs = out
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, CLASSES))


class LanguageLstm(nn.Module):
    def __init__(self, width=128):
        super().__init__()
        self.wte = nn.Embedding(VOCABULARY, width)
        self.lstm = nn.LSTM(width, width, batch_first=True)
        self.head = nn.Linear(width, VOCABULARY)

    def forward(self, tokens):
        return self.head(self.lstm(self.wte(tokens))[0])


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x):
        n, t, width = x.shape
        q, k, v = self.qkv(x).view(n, t, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(y.transpose(1, 2).reshape(n, t, width))


class GptBlock(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.attention = nn.Sequential(nn.LayerNorm(width), Attention(width, 4))
        self.mlp = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 4 * width),
                                 nn.GELU(approximate="tanh"), nn.Linear(4 * width, width))

    def forward(self, x):
        x = x + self.attention(x)
        return x + self.mlp(x)


class Gpt(nn.Module):
    def __init__(self, tokens=128, width=128):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(VOCABULARY, width), nn.Embedding(tokens, width)
        self.blocks = nn.Sequential(*[GptBlock(width) for _ in range(4)])
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens):
        x = self.wte(tokens) + self.wpe.weight[: tokens.shape[1]]
        return self.norm(self.blocks(x)) @ self.wte.weight.T


# Name: the model, its batch, and how many tokens a sequence has (0: images).
MODELS = {"cnn": (small_cnn, 128, 0), "resnet20": (resnet20, 128, 0),
          "lstm": (LanguageLstm, 64, 64), "gpt": (Gpt, 16, 128)}


def make_step(name, compiled, channels_last):
    make, batch, tokens = MODELS[name]
    model = make()
    if tokens:
        x = torch.randint(VOCABULARY, (batch, tokens))
    else:
        x = torch.rand(batch, 3, 32, 32) * 2 - 1
    labels = torch.randint(VOCABULARY if tokens else CLASSES, (batch * max(tokens, 1),))
    if channels_last:
        model, x = (m.to(memory_format=torch.channels_last) for m in (model, x))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)

    def loss_of(x):
        return F.cross_entropy(model(x).flatten(0, -2), labels)

    if compiled:
        loss_of = torch.compile(loss_of)

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss_of(x).backward()
        optimizer.step()

    return step


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--channels-last", action="store_true", help="only the image models")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    for name in args.models:
        if args.channels_last and MODELS[name][2]:
            continue
        result = measure(make_step(name, args.compile, args.channels_last), args.seconds)
        print(json.dumps({"model": name, **result}), flush=True)


if __name__ == "__main__":
    main()
