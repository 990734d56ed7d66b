"""Against TRL: the same pairs, adapter, order and rates give the same losses and rewards."""

from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from peft import PeftModel
from transformers import TrainerCallback
from trl import DPOConfig, DPOTrainer

from tests.modeling.models import tiny_model
from tests.modeling.templates import LLAMA3, tokenizer
from tests.trainers.conftest import Row, preference, write
from tunery.core.lora import LoraConfig
from tunery.modeling.adapter import Adapter, save_adapter
from tunery.modeling.base import Base
from tunery.modeling.chat import Chat
from tunery.modeling.optimizer import AdamW
from tunery.trainers import text_dpo
from tunery.trainers.budget import Budget
from tunery.trainers.company import alone
from tunery.trainers.text_data import load_examples
from tunery.trainers.text_dpo import Pair

N_STEPS, BATCH, RATE, BETA = 20, 4, 5e-3, 0.2
VOCABULARY = 448
WORDS = (
    "Hello", "there", "how", "are", "you", "What", "is", "two",
    "plus", "Four", "Name", "a", "colour", "Blue", "or", "green",
)  # fmt: skip

pytestmark = pytest.mark.filterwarnings("ignore")  # what TRL and PEFT say to one another


def rows() -> list[Row]:
    """Questions and answers of several lengths."""
    source = torch.Generator().manual_seed(0)

    def words() -> str:
        n = int(torch.randint(1, 9, (1,), generator=source))
        picks = torch.randint(len(WORDS), (n,), generator=source).tolist()
        return " ".join(WORDS[i] for i in picks)

    return [preference(words(), words(), words()) for _ in range(N_STEPS * BATCH)]


def speaker() -> Any:  # noqa: ANN401
    return tokenizer(LLAMA3, eos="<|eot_id|>")


def our_steps(folder: Path) -> list[text_dpo.Step]:
    base = Base(tiny_model("llama", vocabulary=VOCABULARY))
    adapter = Adapter(base.places, LoraConfig(r=4, lora_alpha=8), seed=1)
    save_adapter(adapter, folder / "adapter", base_model="x/y")
    examples = load_examples(
        write(folder / "rows", rows()), Chat(speaker()), context=None, overlong="error", width=2
    )
    segments = examples.segments(range(len(examples)), adapter)
    with torch.no_grad():
        reference = base.log_likelihoods(base.stream(segments)).view(-1, 2)
    pairs = [
        Pair(first=chosen, second=rejected, reference=kept)
        for chosen, rejected, kept in zip(segments[::2], segments[1::2], reference, strict=True)
    ]
    steps = [pairs[step * BATCH : (step + 1) * BATCH] for step in range(N_STEPS)]
    learning = text_dpo.learn(AdamW(adapter), steps, lambda step: RATE, Budget(2048), beta=BETA)
    return [step for step in alone(base, learning) if isinstance(step, text_dpo.Step)]


def their_logs(folder: Path) -> list[dict[str, Any]]:
    logged: list[dict[str, Any]] = []

    class Keep(TrainerCallback):  # type: ignore[misc]
        def on_log(self, *_: object, logs: dict[str, Any], **__: object) -> None:
            if "loss" in logs:
                logged.append(logs)

    class InOrder(DPOTrainer):  # type: ignore[misc]
        def _get_train_sampler(self, *_: object) -> torch.utils.data.Sampler[int]:
            return torch.utils.data.SequentialSampler(self.train_dataset)

    model = tiny_model("llama", vocabulary=VOCABULARY)
    trainer = InOrder(
        model=PeftModel.from_pretrained(model, str(folder / "adapter"), is_trainable=True),
        args=DPOConfig(
            output_dir=str(folder / "out"), per_device_train_batch_size=BATCH, max_steps=N_STEPS,
            learning_rate=RATE, lr_scheduler_type="constant", warmup_steps=0, max_grad_norm=1.0,
            weight_decay=0.0, logging_steps=1, use_cpu=True, bf16=False, report_to=[], beta=BETA,
            save_strategy="no", disable_tqdm=True, optim="adamw_torch", max_length=None,
            gradient_checkpointing=False,
        ),
        processing_class=speaker(),
        train_dataset=Dataset.from_list(
            [
                {
                    "prompt": row["input"]["messages"],
                    "chosen": row["preferred_output"],
                    "rejected": row["non_preferred_output"],
                }
                for row in rows()
            ]
        ),
        callbacks=[Keep()],
    )  # fmt: skip
    trainer.train()
    return logged


def test_the_first_losses_and_rewards_are_those_of_trl(tmp_path: Path) -> None:
    ours = our_steps(tmp_path)
    theirs = their_logs(tmp_path)
    assert len(theirs) == N_STEPS
    assert min(step.loss for step in ours) < ours[0].loss - 0.1
    for step, logs in zip(ours, theirs, strict=True):
        assert abs(step.loss - logs["loss"]) < 1e-4
        assert abs(step.rewards.chosen - logs["rewards/chosen"]) < 1e-4
        assert abs(step.rewards.rejected - logs["rewards/rejected"]) < 1e-4
        assert abs(step.rewards.margin - logs["rewards/margins"]) < 1e-4
    # Where both rewards are zero but for rounding, which is higher means nothing.
    for step, logs in zip(ours[1:], theirs[1:], strict=True):
        assert step.rewards.accuracy == logs["rewards/accuracies"]
