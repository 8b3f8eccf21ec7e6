# SPDX-License-Identifier: Apache-2.0
"""One small instance of each transformer family, from Hugging Face's and timm's own code."""

import timm
import torch
import transformers as hf
from fixture import run, seeded, write


def ids(rows, steps, vocabulary, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(vocabulary, (rows, steps), generator=generator, dtype=torch.int32)


def logits_of(model, *inputs):
    return model(*inputs).logits


def found(model, *inputs, call=None):
    """What run() finds, with weights large enough that every layer matters."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return run(model.eval(), *inputs, call=call)


gpt2 = hf.GPT2Config(vocab_size=13, n_positions=8, n_embd=16, n_layer=2, n_head=2)
llama = hf.LlamaConfig(
    vocab_size=13,
    hidden_size=16,
    intermediate_size=24,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    tie_word_embeddings=False,
)
bert = hf.BertConfig(
    vocab_size=13,
    hidden_size=16,
    intermediate_size=32,
    num_hidden_layers=2,
    num_attention_heads=2,
    max_position_embeddings=8,
    num_labels=3,
)
distilbert = hf.DistilBertConfig(
    vocab_size=13, dim=16, hidden_dim=32, n_layers=2, n_heads=2, max_position_embeddings=8, num_labels=3
)

write(
    "transformers_tiny",
    {
        "gpt2": found(hf.GPT2LMHeadModel(gpt2), ids(2, 7, 13), call=logits_of),
        "llama": found(hf.LlamaForCausalLM(llama), ids(2, 7, 13), call=logits_of),
        "bert": found(hf.BertForSequenceClassification(bert), ids(2, 8, 13), call=logits_of),
        "distilbert": found(
            hf.DistilBertForSequenceClassification(distilbert), ids(2, 8, 13), call=logits_of
        ),
        "vit": found(
            timm.models.VisionTransformer(
                img_size=8, patch_size=4, embed_dim=16, depth=2, num_heads=2, num_classes=3
            ),
            seeded(2, 3, 8, 8),
        ),
    },
)
