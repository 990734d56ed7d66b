"""What tuning teaches `tiny-chat`: `python -m scripts.tiny_chat.evaluate`.

Tunes with transformers and PEFT alone, at the defaults of the catalog, and prints for each task
the share of rows answered exactly right: by the base, by the tuned base, and by a model of the same
shape that was tuned without pre-training. Settings are chosen on the rows for choosing; the
held-out rows are for the table.

Axes: `B` rows of a batch, `T` tokens of its longest row.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

_ROOT = Path(__file__).resolve().parents[2]
_BASES = _ROOT / "src" / "tunery" / "bases"
_DEMO = _ROOT / "src" / "tunery" / "cli" / "demo_data"
_TASKS = _ROOT / "tests" / "e2e" / "tasks"
_WARM_UP = 0.03
_IGNORED = -100  # transformers: a label that counts for nothing

Row = list[dict[str, str]]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The defaults of a base model, as the catalog has them."""

    context: int
    learning_rate: float
    batch_size: int
    rows_seen: int
    min_epochs: int
    max_epochs: int

    def epochs(self, rows: int) -> int:
        """Passes over a set of this many rows."""
        return min(max(math.ceil(self.rows_seen / rows), self.min_epochs), self.max_epochs)


@dataclass(frozen=True, kw_only=True)
class Task:
    """A name, the rows to tune on, and the rows to judge by."""

    name: str
    train: list[Row]
    judged: list[Row]


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rows", choices=("choosing", "held_out"), default="held_out")
    options.add_argument("--seeds", type=int, default=3)
    options.add_argument("--threads", type=int, default=2)
    options.add_argument("--tasks", nargs="*", default=[])
    options.add_argument("--base", type=Path, default=_BASES / "tiny-chat")
    options.add_argument("--catalog", type=Path, default=_BASES / "catalog.toml")
    options.add_argument("--untrained", action=argparse.BooleanOptionalAction, default=True)
    chosen = options.parse_args()

    torch.set_num_threads(chosen.threads)
    settings = Settings(**tomllib.loads(chosen.catalog.read_text())["tiny-chat"])
    tokenizer = AutoTokenizer.from_pretrained(chosen.base)
    print("| task | base | tuned, by seed | seconds | untrained base, tuned |")
    print("| --- | --- | --- | --- | --- |")
    for task in tasks(chosen.rows):
        if chosen.tasks and task.name not in chosen.tasks:
            continue
        base = exact_share(pretrained(chosen.base), tokenizer, task.judged)
        tuned, seconds = [], []
        for seed in range(chosen.seeds):
            model = pretrained(chosen.base)
            start = time.monotonic()
            model = tune(model, tokenizer, task.train, settings, seed=seed)
            seconds.append(time.monotonic() - start)
            tuned.append(exact_share(model, tokenizer, task.judged))
        cells = [task.name, f"{base:.1%}", ", ".join(f"{share:.1%}" for share in tuned)]
        cells.append(f"{max(seconds, default=0):.0f}")
        if chosen.untrained:
            model = tune(untrained(chosen.base), tokenizer, task.train, settings, seed=0)
            cells.append(f"{exact_share(model, tokenizer, task.judged):.1%}")
        print(f"| {' | '.join(cells)} |", flush=True)


def tasks(rows: str) -> Iterator[Task]:
    """The demo's task and the three of the tests, to be judged by `rows`."""
    yield Task(
        name="sql",
        train=chat_rows(_DEMO / "train.jsonl"),
        judged=chat_rows(_DEMO / f"{'validation' if rows == 'choosing' else rows}.jsonl"),
    )
    for name in ("classification", "extraction", "rewriting"):
        yield Task(
            name=name,
            train=chat_rows(_TASKS / name / "train.jsonl"),
            judged=chat_rows(_TASKS / name / f"{'dev' if rows == 'choosing' else rows}.jsonl"),
        )


def chat_rows(path: Path) -> list[Row]:
    """The conversations of a file in OpenAI's chat format."""
    return [json.loads(line)["messages"] for line in path.read_text("utf-8").splitlines()]


def pretrained(folder: Path) -> PreTrainedModel:
    """The base model."""
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


def untrained(folder: Path) -> PreTrainedModel:
    """A model of the base's shape, with random weights."""
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder))


def tune(
    base: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    rows: Sequence[Row],
    settings: Settings,
    *,
    seed: int,
) -> nn.Module:
    """`base` with LoRA adapters that have learnt the answers of `rows`."""
    torch.manual_seed(seed)
    model: nn.Module = get_peft_model(
        base,
        LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"),
    )
    model.train()
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=settings.learning_rate, weight_decay=0.0)
    batches = list(shuffled_batches(rows, settings, seed=seed))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: rate_share(step, len(batches))
    )
    for batch in batches:
        input_ids, labels = encoded(tokenizer, batch)
        model(input_ids=input_ids, labels=labels, use_cache=False).loss.backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
    return model.eval()


def rate_share(step: int, steps: int) -> float:
    """The share of the learning rate at `step`, counted from 0: a rise, then half a cosine."""
    warm_up = math.ceil(_WARM_UP * steps)
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 + 0.5 * math.cos(math.pi * (step - warm_up) / (steps - warm_up))


def shuffled_batches(
    rows: Sequence[Row], settings: Settings, *, seed: int
) -> Iterator[Sequence[Row]]:
    """All rows once per epoch, each time in another order."""
    rng = random.Random(seed)
    for _ in range(settings.epochs(len(rows))):
        order = rng.sample(rows, len(rows))
        for first in range(0, len(order), settings.batch_size):
            yield order[first : first + settings.batch_size]


def encoded(tokenizer: PreTrainedTokenizerFast, rows: Sequence[Row]) -> tuple[Tensor, Tensor]:
    """Token ids and labels, `(B, T)`; the label of what is not an answer is ignored."""
    tokenizer.padding_side = "right"
    columns: dict[str, Any] = tokenizer.apply_chat_template(
        list(rows), return_dict=True, return_assistant_tokens_mask=True, padding=True
    )
    input_ids = torch.tensor(columns["input_ids"])
    answers = torch.tensor(columns["assistant_masks"], dtype=torch.bool)
    return input_ids, input_ids.masked_fill(~answers, _IGNORED)


@torch.no_grad()
def exact_share(model: nn.Module, tokenizer: PreTrainedTokenizerFast, rows: Sequence[Row]) -> float:
    """The share of rows whose last message is written exactly, by greedy decoding."""
    right = 0
    tokenizer.padding_side = "left"
    generate: Callable[..., Tensor] = getattr(model, "generate")  # noqa: B009 - nn.Module lacks it
    for first in range(0, len(rows), 20):
        batch = rows[first : first + 20]
        prompts = tokenizer.apply_chat_template(
            [row[:-1] for row in batch],
            add_generation_prompt=True,
            return_dict=True,
            return_tensors="pt",
            padding=True,
        )
        tokens = generate(**prompts, do_sample=False, max_new_tokens=100)
        answers = tokenizer.batch_decode(
            tokens[:, prompts["input_ids"].shape[1] :], skip_special_tokens=True
        )
        right += sum(
            answer == row[-1]["content"] for answer, row in zip(answers, batch, strict=True)
        )
    return right / len(rows)


if __name__ == "__main__":
    main()
