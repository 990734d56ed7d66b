"""The usual script, for comparison: TRL's DPOTrainer with PEFT, LoRA r 8 on all linear layers.

Run as a program: `python -m benchmarks.rival_dpo TASK`, a `DpoTask` as JSON. Its last line is a
`Steps` as JSON. The reference is computed before the first step, which makes its steps the fastest
that they can be.
"""

import json
import sys
from pathlib import Path

import msgspec
import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import DPOConfig, DPOTrainer

from benchmarks.settings import DpoTask, Steps
from benchmarks.watch import Watch


def main(given: str) -> None:
    """Train as the task says."""
    task = msgspec.json.decode(given, type=DpoTask)
    torch.set_num_threads(task.threads)
    watch = Watch()
    trainer = DPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(
            task.model,
            dtype=torch.bfloat16 if task.settings.precision == "bf16" else torch.float32,
        ),
        processing_class=AutoTokenizer.from_pretrained(task.model),
        train_dataset=_pairs(Path(task.rows)),
        args=DPOConfig(
            output_dir=task.folder,
            per_device_train_batch_size=task.settings.batch_size,
            bf16=task.settings.precision == "autocast",
            num_train_epochs=1,
            precompute_ref_log_probs=True,
            max_length=None,
            gradient_checkpointing=False,
            optim="adamw_torch_fused",
            learning_rate=1e-4,
            dataloader_pin_memory=False,
            logging_strategy="no",
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            use_cpu=True,
        ),
        peft_config=LoraConfig(r=8, lora_alpha=16, lora_dropout=0, target_modules="all-linear"),
        callbacks=[watch],
    )
    trainer.train()
    print(msgspec.json.encode(Steps(ends=watch.ends)).decode())


def _pairs(path: Path) -> Dataset:
    """The rows, with TRL's names."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return Dataset.from_list(
        [
            {
                "prompt": row["input"]["messages"],
                "chosen": row["preferred_output"],
                "rejected": row["non_preferred_output"],
            }
            for row in rows
        ]
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
