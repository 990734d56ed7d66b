"""Eight chats on eight adapters at once, tokens per second, against transformers and PEFT.

Ours is the inference process as the server uses it, asked by eight threads at the same time, every
token streamed as text; the rival answers one chat after another and reads the text at the end.
Both are warm, greedy, in fp32, and write the same number of tokens. On two models: tiny-chat, and
one of 30 million random weights.
"""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import torch

from benchmarks import rivals
from benchmarks.bases import TINY_CHAT, random_base
from benchmarks.comparison import Comparison, Trial, in_turn
from benchmarks.trainer import working_folder
from tunery.core.generation import GenerationRequest
from tunery.core.lora import LoraConfig
from tunery.inference.process import ChildGenerator
from tunery.modeling.adapter import Adapter, save_adapter
from tunery.modeling.base import Base
from tunery.modeling.load import load_model

ROUNDS = 3
CHATS = 8
N_TOKENS = 64


def comparisons(threads: int) -> list[Comparison]:
    """Tokens per second, in turn."""
    with working_folder() as folder:
        models = {"tiny-chat": TINY_CHAT, "30M": random_base(folder / "30M", "30M")}
        return [
            _comparison(label, model, folder / f"chats-{label}", threads)
            for label, model in models.items()
        ]


def _comparison(label: str, model: Path, folder: Path, threads: int) -> Comparison:
    chats = _chats(model, folder / "adapters")
    generator = ChildGenerator(threads=threads)
    with closing(generator), _rival(model, chats, folder / "chats.jsonl", threads) as rival:
        ours = Trial(lambda: _our_speed(generator, model, chats))
        theirs = Trial(lambda: _rival_speed(rival))
        in_turn([ours, theirs], ROUNDS + 1)
    return Comparison(
        what=f"{CHATS} chats on {CHATS} adapters, {label}",
        rival="transformers + PEFT, one after another",
        unit="tok/s",
        # The first of each warms up: weights are read, adapters loaded.
        ours=ours.values[1:],
        theirs=theirs.values[1:],
        at_least=3,
        note=f"{N_TOKENS} tokens each, greedy, fp32; transformers with its key-value cache, each "
        "adapter merged into the weights before its chat",
        trouble=ours.trouble or theirs.trouble,
    )


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
        env=rivals.environment(threads),
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
