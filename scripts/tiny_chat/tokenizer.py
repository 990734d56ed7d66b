"""The tokenizer: byte-level BPE that spells a word alike wherever it stands.

Letters, single digits, line breaks and everything else (spaces and punctuation together) never
share a token. So ` Maria`, `'Maria'` and `Maria,` have the same tokens for the name, and copying a
word needs no knowledge of what surrounds it; and no token reaches across the line break after a
role.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

PAD = "<|pad|>"
END = "<|end|>"
ROLES = ("system", "user", "assistant", "tool")
VOCABULARY_SIZE = 1024
CONTEXT = 2048

_TEMPLATE = Path(__file__).with_name("chat_template.jinja")
_KINDS_OF_CHARACTER = r"\p{L}+|\p{N}|\n|[^\p{L}\p{N}\n]+"


def tokenizer_from_texts(texts: Iterable[str]) -> Tokenizer:
    """A tokenizer whose merges are the most frequent ones in `texts`."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_KINDS_OF_CHARACTER), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE,
        special_tokens=[PAD, END, *(f"<|{role}|>" for role in ROLES)],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def save_for_transformers(tokenizer: Tokenizer, folder: Path) -> None:
    """Write the tokenizer and its chat template as `AutoTokenizer` reads them."""
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": CONTEXT,
        "pad_token": PAD,
        "eos_token": END,
        "additional_special_tokens": [f"<|{role}|>" for role in ROLES],
        "clean_up_tokenization_spaces": False,
    }
    tokenizer.save(str(folder / "tokenizer.json"))
    text = json.dumps(settings, indent=2) + "\n"
    (folder / "tokenizer_config.json").write_text(text, encoding="utf-8")
    shutil.copyfile(_TEMPLATE, folder / _TEMPLATE.name)
