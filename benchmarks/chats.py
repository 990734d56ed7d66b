"""Eight chats on eight adapters at once, tokens per second, against transformers and PEFT.

Ours is the inference process as the server uses it, asked by eight threads at the same time, every
token streamed as text; the rival answers one chat after another and reads the text at the end.
Both are warm, greedy, in fp32, and write the same number of tokens. On two models: tiny-chat, and
one of 30 million random weights.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from benchmarks.comparison import Comparison, show
from tunery.bases.catalog import BUILT_IN
from tunery.core.generation import GenerationRequest
from tunery.core.lora import LoraConfig
from tunery.inference.process import ChildGenerator
from tunery.modeling.adapter import Adapter, save_adapter
from tunery.modeling.base import Base
from tunery.modeling.load import load_model

ROUNDS = 3
CHATS = 8
N_TOKENS = 64
RIVAL = "transformers + PEFT, one after another"
TINY_CHAT = BUILT_IN / "tiny-chat"


def comparisons() -> list[Comparison]:
    """Tokens per second, in turn."""
    with tempfile.TemporaryDirectory() as name:
        models = {"tiny-chat": TINY_CHAT, "30M": _random_model(Path(name) / "30M")}
        return [
            _comparison(f"{CHATS} chats on {CHATS} adapters, {label}", model, Path(name) / label)
            for label, model in models.items()
        ]


def _comparison(what: str, model: Path, folder: Path) -> Comparison:
    chats = _chats(model, folder / "adapters")
    threads = torch.get_num_threads()
    generator = ChildGenerator(threads=threads)
    ours, theirs = [], []
    with closing(generator), _rival(model, chats, folder / "chats.jsonl", threads) as rival:
        for _ in range(ROUNDS + 1):
            ours.append(_our_speed(generator, model, chats))
            theirs.append(_rival_speed(rival))
    # The first of each warms up: weights are read, adapters loaded.
    return Comparison(what=what, rival=RIVAL, unit="tok/s", ours=ours[1:], theirs=theirs[1:])


def _random_model(folder: Path) -> Path:
    tokenizer = AutoTokenizer.from_pretrained(TINY_CHAT)
    config = LlamaConfig(
        vocab_size=8192,
        hidden_size=512,
        intermediate_size=1408,
        num_hidden_layers=8,
        num_attention_heads=8,
        num_key_value_heads=4,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _chats(model: Path, folder: Path) -> list[dict[str, object]]:
    """Prompts of different lengths, each for an adapter of its own."""
    base = Base(load_model(str(model)).model)
    chats: list[dict[str, object]] = []
    for number in range(CHATS):
        adapter = Adapter(base.places, LoraConfig(r=16, lora_alpha=32), seed=number)
        source = torch.Generator().manual_seed(number)
        for name, weight in adapter.named_weights():
            if ".lora_B." in name:
                weight.copy_(torch.randn(weight.shape, generator=source) * 0.02)
        place = folder / str(number)
        save_adapter(adapter, place, base_model=str(model))
        question = "Which customers live in Paris? " * (number + 1)
        messages = [{"role": "user", "content": question}]
        chats.append({"adapter": str(place), "messages": messages})
    return chats


def _our_speed(generator: ChildGenerator, model: Path, chats: Sequence[dict[str, object]]) -> float:
    written: list[int] = []

    def ask(chat: dict[str, object]) -> None:
        given = {"location": str(model), "max_tokens": N_TOKENS, "temperature": 0.0, **chat}
        *_, last = generator.generate(GenerationRequest(**given))  # type: ignore[arg-type]
        written.append(last.usage[1] if last.usage else 0)

    threads = [threading.Thread(target=ask, args=(chat,)) for chat in chats]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(written) / (time.perf_counter() - began)


@contextmanager
def _rival(
    model: Path, chats: Sequence[dict[str, object]], file: Path, threads: int
) -> Iterator["subprocess.Popen[str]"]:
    file.write_text("".join(json.dumps(chat) + "\n" for chat in chats))
    asked = [sys.executable, "-m", "benchmarks.rival_chats", str(model), str(file), str(N_TOKENS)]
    with subprocess.Popen(
        asked,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": str(threads)},
    ) as process:
        _line(process)  # ready
        yield process
        process.communicate()


def _rival_speed(process: "subprocess.Popen[str]") -> float:
    if process.stdin is not None:
        process.stdin.write("\n")
        process.stdin.flush()
    return float(_line(process))


def _line(process: "subprocess.Popen[str]") -> str:
    line = process.stdout.readline() if process.stdout is not None else ""
    if not line:
        raise RuntimeError("the rival ended early; run it by hand to see why")
    return line


if __name__ == "__main__":
    show(comparisons())
