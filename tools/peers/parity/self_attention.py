# SPDX-License-Identifier: Apache-2.0
"""scaled_dot_product_attention, and the attention layers of PyTorch, GPT-2, Llama, BERT and ViT.

Weights go by limbeck's names: the projections of queries, keys and values as one, "qkv".
"""

import torch
from fixture import run, seeded, write
from timm.layers import Attention as VitAttention
from transformers import BertConfig, GPT2Config, LlamaConfig
from transformers.models.bert.modeling_bert import BertSelfAttention
from transformers.models.gpt2.modeling_gpt2 import GPT2Attention
from transformers.models.llama.modeling_llama import LlamaAttention, LlamaRotaryEmbedding


class Sdpa(torch.nn.Module):
    """On (N,T,H,D), as limbeck has it."""

    def __init__(self, **options):
        super().__init__()
        self.options = options

    def forward(self, q, k, v):
        heads_first = [x.transpose(1, 2) for x in (q, k, v)]
        y = torch.nn.functional.scaled_dot_product_attention(*heads_first, **self.options)
        return y.transpose(1, 2)


class Bert(torch.nn.Module):
    """Attention and the projection after it, without what follows; keys beyond a length hidden."""

    def __init__(self, config, lengths):
        super().__init__()
        self.attend = BertSelfAttention(config)
        self.out = torch.nn.Linear(config.hidden_size, config.hidden_size)
        self.lengths = torch.tensor(lengths)

    def forward(self, x):
        hidden = torch.arange(x.shape[1])[None] >= self.lengths[:, None]
        mask = torch.zeros(hidden.shape).masked_fill(hidden, -1e30)[:, None, None]
        return self.out(self.attend(x, attention_mask=mask)[0])


class Llama(torch.nn.Module):
    def __init__(self, config):
        super().__init__()
        self.attend = LlamaAttention(config, layer_idx=0)
        self.rotary = LlamaRotaryEmbedding(config)

    def forward(self, x):
        angles = self.rotary(x, torch.arange(x.shape[1])[None])
        return self.attend(x, position_embeddings=angles, attention_mask=None)[0]


def renamed(found, names, transpose=False):
    """names: {limbeck's name: [the layer's names, to be joined]}."""
    out = {key: value for key, value in found.items() if not key.startswith(("w.", "dw."))}
    for prefix in ("w.", "dw."):
        for name, parts in names.items():
            tensors = [found[prefix + part] for part in parts]
            out[prefix + name] = torch.cat([t.T if transpose and t.dim() == 2 else t for t in tensors])
    return out


def linear(name, *parts, bias=True):
    return {f"{name}.{kind}": [f"{part}.{kind}" for part in parts]
            for kind in (("weight", "bias") if bias else ("weight",))}


def scaled(module):
    """With weights large enough for the attention to prefer some tokens, and biases that count."""
    with torch.no_grad():
        for i, parameter in enumerate(module.parameters()):
            parameter.copy_(seeded(*parameter.shape, seed=i + 10, scale=0.5))
    return module


x = seeded(2, 5, 8)
gpt2 = GPT2Config(n_embd=8, n_head=2, attn_pdrop=0, resid_pdrop=0, attn_implementation="sdpa")
llama = LlamaConfig(hidden_size=8, num_attention_heads=4, num_key_value_heads=2, head_dim=4,
                    rope_theta=100.0, attn_implementation="sdpa")
bert = BertConfig(hidden_size=8, num_attention_heads=2, attention_probs_dropout_prob=0,
                  attn_implementation="eager")
write(
    "self_attention",
    {
        "sdpa": run(Sdpa(), seeded(2, 3, 2, 4), seeded(2, 5, 2, 4, seed=1),
                    seeded(2, 5, 2, 4, seed=2)),
        "sdpa_grouped": run(Sdpa(is_causal=True, enable_gqa=True, scale=0.7), seeded(1, 5, 4, 4),
                            seeded(1, 5, 2, 4, seed=1), seeded(1, 5, 2, 4, seed=2)),
        "torch": renamed(
            run(scaled(torch.nn.MultiheadAttention(8, 2, batch_first=True)), x,
                call=lambda layer, t: layer(t, t, t)[0]),
            {"qkv.weight": ["in_proj_weight"], "qkv.bias": ["in_proj_bias"]}
            | linear("out", "out_proj")),
        "gpt2": renamed(
            run(scaled(GPT2Attention(gpt2, layer_idx=0)), x, call=lambda layer, t: layer(t)[0]),
            linear("qkv", "c_attn") | linear("out", "c_proj"), transpose=True),
        "llama": renamed(
            run(scaled(Llama(llama)), x),
            linear("qkv", "attend.q_proj", "attend.k_proj", "attend.v_proj", bias=False)
            | linear("out", "attend.o_proj", bias=False)),
        "bert": renamed(
            run(scaled(Bert(bert, [5, 3])), x),
            linear("qkv", "attend.query", "attend.key", "attend.value") | linear("out", "out")),
        "vit": renamed(run(scaled(VitAttention(8, 2, qkv_bias=True)), x),
                       linear("qkv", "qkv") | linear("out", "proj")),
    },
)
