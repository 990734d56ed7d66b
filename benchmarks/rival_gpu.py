"""TRL's SFTTrainer with PEFT and Liger on a GPU: `python -m benchmarks.rival_gpu TASK`, as JSON.

Its last line is a `Result` as JSON. Rows are all of one length, so that it has nothing to pad and
nothing to pack. The model is in bf16, AdamW is the fused one, and nothing is logged or saved.
"""

from __future__ import annotations

import sys
import tempfile
import time

import msgspec
from datasets import Dataset
from peft import LoraConfig
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import (
    PreTrainedTokenizerFast,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from trl import SFTConfig, SFTTrainer

from benchmarks.gpu_task import (
    ALPHA,
    RANK,
    Result,
    Task,
    device,
    finish,
    forget_peak,
    random_model,
    random_rows,
)
from tunery.trainers.memory import peak_bytes


class _Clock(TrainerCallback):  # type: ignore[misc]
    """Notes when the warm-up was over, and when all was."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self.began = self.ended = 0.0

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: object,
    ) -> None:
        finish()
        self.ended = time.perf_counter()
        if state.global_step == self._task.warm_up:
            self.began = self.ended
            forget_peak()


def main(given: str) -> None:
    """Learn as the task says."""
    task = msgspec.json.decode(given, type=Task)
    clock = _Clock(task)
    n_rows = task.n_rows * (task.warm_up + task.n_steps)
    with tempfile.TemporaryDirectory() as folder:
        trainer = SFTTrainer(
            model=random_model(task.shape, attention=task.attention),
            processing_class=_tokenizer(),
            train_dataset=Dataset.from_dict({"input_ids": random_rows(task, n_rows).tolist()}),
            args=_arguments(task, folder),
            peft_config=LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules="all-linear"),
            callbacks=[clock],
        )
        trainer.train()
    result = Result(
        seconds=clock.ended - clock.began,
        tokens=task.n_steps * task.n_rows * task.n_tokens,
        peak_bytes=peak_bytes(device()),
    )
    print(msgspec.json.encode(result).decode())


def _arguments(task: Task, folder: str) -> SFTConfig:
    on_gpu = device().type == "cuda"
    return SFTConfig(
        output_dir=folder,
        per_device_train_batch_size=task.batch_size,
        gradient_accumulation_steps=task.n_rows // task.batch_size,
        max_steps=task.warm_up + task.n_steps,
        max_length=task.n_tokens,
        bf16=on_gpu,
        use_cpu=not on_gpu,
        use_liger_kernel=task.liger,
        gradient_checkpointing=task.checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False} if task.checkpointing else None,
        optim="adamw_torch_fused",
        learning_rate=1e-4,
        dataloader_pin_memory=on_gpu,
        logging_strategy="no",
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
    )


def _tokenizer() -> PreTrainedTokenizerFast:
    """One that is asked for nothing but its padding: the rows are token ids already."""
    words = Tokenizer(WordLevel({"<pad>": 0, "<s>": 1, "</s>": 2}, unk_token="<pad>"))
    return PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", bos_token="<s>", eos_token="</s>"
    )


if __name__ == "__main__":
    main(sys.argv[1])
