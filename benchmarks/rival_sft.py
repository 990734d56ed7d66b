"""The usual script, for comparison: TRL's SFTTrainer with PEFT, one step.

Run as a program: `python -m benchmarks.rival_sft MODEL ROWS FOLDER`. One of its lines is
a JSON object with the time at which the first step was done.
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
from trl import SFTConfig, SFTTrainer


class FirstStep(TrainerCallback):  # type: ignore[misc]
    """Notes when the first optimizer step was done."""

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: object,
    ) -> None:
        """Print the time."""
        print(json.dumps({"first_step_at": time.time()}))


def main(model: str, rows: str, folder: str) -> None:
    """Train for one step."""
    examples = [json.loads(line) for line in Path(rows).read_text().splitlines()]
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(model),
        processing_class=AutoTokenizer.from_pretrained(model),
        train_dataset=Dataset.from_list(examples),
        args=SFTConfig(
            output_dir=folder,
            per_device_train_batch_size=16,
            max_steps=1,
            assistant_only_loss=True,
            report_to=[],
            save_strategy="no",
            disable_tqdm=True,
            use_cpu=True,
            bf16=False,
        ),
        peft_config=LoraConfig(r=16, lora_alpha=32, target_modules="all-linear"),
        callbacks=[FirstStep()],
    )
    trainer.train()


if __name__ == "__main__":
    main(*sys.argv[1:])
