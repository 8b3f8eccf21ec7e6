# SPDX-License-Identifier: Apache-2.0
"""Trains small byte-level BPEs with the tokenizers package, one that splits as GPT-2 does and one
as Llama 3, and writes them, with texts and their tokens, as tests/fixtures/bpe_tokenizer.json and
bpe_cases.json, bpe_split_tokenizer.json and bpe_split_cases.json."""
import json
import pathlib

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    pre_tokenizers,
    processors,
    trainers,
)

folder = pathlib.Path(__file__).resolve().parents[3] / "tests" / "fixtures"
words = """A teacher shows the student what it would say, and how sure it is of that.
The student doesn't know yet; it'll learn, and then we've two that can't be told apart.
They're teaching 12 students in 2024, 2025 and 2026: that's the thing.
"""

tokenizer = Tokenizer(models.BPE())
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
tokenizer.decoder = decoders.ByteLevel()
tokenizer.train_from_iterator(
    [words] * 3,
    trainers.BpeTrainer(
        vocab_size=304,
        special_tokens=["<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    ),
)
tokenizer.add_tokens(
    [AddedToken(text, normalized=True) for text in ("<|end|>>", "student's")]
)
tokenizer.save(str(folder / "bpe_tokenizer.json"), pretty=False)

texts = [
    "",
    words,
    "The teacher's students aren't there; I'd say they'll learn. We've, I'm, you're, it's.",
    "THEY'RE 'quoted' ''s 're're 'l 'v' '",
    "several   spaces    and \t tabs\n\n\n  lines \n",
    "what  the  student  is sure of",
    "   ",
    " \n a",
    "tail  ",
    "1234 12ab ab12 3.14159 -7 x2y 10%",
    "caf\u00e9 na\u00efve \u00c5ngstr\u00f6m \u0394x \u0436\u0443\u043a"
    " \u65e5\u672c\u8a9e \uc548\ub155 \u0645\u0631\u062d\u0628\u0627",
    "\U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467 ok\U0001f44d\U0001f3fd \u2764\ufe0f",
    "\u00a0x \u3000y\u2003\u2003z\u0085w\u200bv\u2028\u2028u",
    "\u0660\u0661 \u00bd\u00b2 \u2167 \u0969 a\u0301 e\u0301\u0300 \u0928\u092e\u0938\u094d\u0924\u0947",
    "<|end|>the<|end|>  <|end|> that<|end|>><|end|",
    "the student's student'sth students",
    "\x00\x01\x7f\r\n!?#$%&()*+,-./:;<=>@[\\]^_`{|}~",
]
cases = [{"text": t, "tokens": tokenizer.encode(t).ids} for t in texts]
(folder / "bpe_cases.json").write_text(
    "[" + ",\n".join(json.dumps(c) for c in cases) + "]\n"
)

# Llama 3's way of splitting; its template puts a token before each text.
PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
split = Tokenizer(models.BPE(ignore_merges=True))
split.pre_tokenizer = pre_tokenizers.Sequence(
    [
        pre_tokenizers.Split(Regex(PATTERN), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ]
)
split.decoder = decoders.ByteLevel()
code = "for (i = 0; i < 100; ++i) {\n\tx[i] += 12345;\n}\n\n// THEY'RE it's\n"
split.train_from_iterator(
    [words, code] * 3,
    trainers.BpeTrainer(
        vocab_size=330,
        special_tokens=["<|begin|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    ),
)
split.post_processor = processors.Sequence(
    [
        processors.ByteLevel(trim_offsets=False),
        processors.TemplateProcessing(single="<|begin|> $A", special_tokens=[("<|begin|>", 0)]),
    ]
)
split.save(str(folder / "bpe_split_tokenizer.json"), pretty=False)
texts += [
    code,
    "THEY'RE I'M 'S'T it'\u017f \u212a",
    "1234567 \u0660\u0661\u0662\u0663 12,345.67",
    "end.\r\n\r\nnext!?\n \n  x\n",
    "\t\tif\u00a0x\u2003 y  \r z",
    "<|begin|>a<|begin|>",
]
cases = [{"text": t, "tokens": split.encode(t, add_special_tokens=False).ids} for t in texts]
(folder / "bpe_split_cases.json").write_text(
    "[" + ",\n".join(json.dumps(c) for c in cases) + "]\n"
)
