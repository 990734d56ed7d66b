"""The usual script, for comparison: TRL's DPOTrainer with PEFT, a few steps.

Run as a program: `python -m benchmarks.rival_dpo MODEL ROWS FOLDER`. One of its lines is a JSON
object with the seconds of each step. The reference is computed before the first step, which makes
its steps the fastest that they can be.
"""

import json
import sys
import time
from pathlib import Path

from datasets import Dataset
from peft import LoraConfig
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from trl import DPOConfig, DPOTrainer


class Steps(TrainerCallback):  # type: ignore[misc]
    """Notes how long each optimizer step takes."""

    def __init__(self) -> None:
        """Begin with none."""
        self.began = 0.0
        self.seconds: list[float] = []

    def on_step_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: object,
    ) -> None:
        """Note the time."""
        self.began = time.perf_counter()

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: object,
    ) -> None:
        """Note how long it took."""
        self.seconds.append(time.perf_counter() - self.began)


def main(model: str, rows: str, folder: str) -> None:
    """Train for as many steps as there are batches of eight."""
    examples = [json.loads(line) for line in Path(rows).read_text().splitlines()]
    steps = Steps()
    trainer = DPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(model),
        processing_class=AutoTokenizer.from_pretrained(model),
        train_dataset=Dataset.from_list(
            [
                {
                    "prompt": row["input"]["messages"],
                    "chosen": row["preferred_output"],
                    "rejected": row["non_preferred_output"],
                }
                for row in examples
            ]
        ),
        args=DPOConfig(
            output_dir=folder,
            per_device_train_batch_size=8,
            num_train_epochs=1,
            precompute_ref_log_probs=True,
            max_length=None,
            gradient_checkpointing=False,
            report_to=[],
            save_strategy="no",
            disable_tqdm=True,
            use_cpu=True,
            bf16=False,
        ),
        peft_config=LoraConfig(r=8, lora_alpha=16, target_modules="all-linear"),
        callbacks=[steps],
    )
    trainer.train()
    print(json.dumps({"step_seconds": steps.seconds}))


if __name__ == "__main__":
    main(*sys.argv[1:])
