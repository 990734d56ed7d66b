"""The usual script, for comparison: TRL's SFTTrainer with PEFT, LoRA r 8 on all linear layers.

Run as a program: `python -m benchmarks.rival_sft TASK`, a `SftTask` as JSON. Its last line is a
`Steps` as JSON. Beside what the task sets, all is as fast as TRL can be on a CPU: torch's fused
attention, TRL's own fused output projection, no gradient checkpointing, the fused AdamW, and
nothing logged or saved.
"""

import json
import sys
from pathlib import Path
from typing import Any

import msgspec
import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

from benchmarks.settings import SftTask, Steps
from benchmarks.watch import Watch

_MOST_STEPS = 100_000
_LONGEST_ROW = 2048


class _Counted:
    """A collator, and the real tokens of each batch that it has made."""

    def __init__(self, collator: Any) -> None:  # noqa: ANN401
        self._collator = collator
        self.tokens: list[int] = []

    def __call__(self, rows: object) -> dict[str, Any]:
        batch: dict[str, Any] = self._collator(rows)
        real = batch.get("attention_mask")
        self.tokens.append(batch["input_ids"].numel() if real is None else int(real.sum()))
        return batch


def main(given: str) -> None:
    """Train as the task says."""
    task = msgspec.json.decode(given, type=SftTask)
    torch.set_num_threads(task.threads)
    examples = [json.loads(line) for line in Path(task.rows).read_text().splitlines()]
    watch = Watch(warm_up=task.warm_up, seconds=task.seconds)
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(
            task.model,
            dtype=torch.bfloat16 if task.settings.precision == "bf16" else torch.float32,
        ),
        processing_class=AutoTokenizer.from_pretrained(task.model),
        train_dataset=Dataset.from_list(examples),
        args=_arguments(task),
        peft_config=LoraConfig(r=8, lora_alpha=16, lora_dropout=0, target_modules="all-linear"),
        callbacks=[watch],
    )
    trainer.data_collator = counted = _Counted(trainer.data_collator)
    trainer.train()
    print(msgspec.json.encode(Steps(ends=watch.ends, tokens=counted.tokens)).decode())


def _arguments(task: SftTask) -> SFTConfig:
    settings = task.settings
    return SFTConfig(
        output_dir=task.folder,
        per_device_train_batch_size=settings.batch_size,
        packing=settings.block is not None,
        max_length=settings.block or _LONGEST_ROW,
        train_sampling_strategy="group_by_length" if settings.by_length else "random",
        bf16=settings.precision == "autocast",
        torch_compile=settings.compiled,
        max_steps=task.steps or _MOST_STEPS,
        assistant_only_loss=True,
        gradient_checkpointing=False,
        optim="adamw_torch_fused",
        learning_rate=1e-4,
        dataloader_pin_memory=False,
        logging_strategy="no",
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        use_cpu=True,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
