"""Against TRL: the same data, adapter, order and rates give the same losses."""

from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from peft import PeftModel
from transformers import TrainerCallback
from trl import SFTConfig, SFTTrainer

from tests.modeling.models import learn, tiny_model
from tests.modeling.templates import CHATML_MARKED, tokenizer
from tunery.core.lora import LoraConfig
from tunery.modeling.adapter import Adapter, save_adapter
from tunery.modeling.base import Base
from tunery.modeling.chat import Chat
from tunery.modeling.optimizer import AdamW
from tunery.modeling.segments import Segment

N_STEPS, BATCH, RATE = 20, 4, 5e-3
VOCABULARY = 448
WORDS = [
    "Hello",
    "there",
    "how",
    "are",
    "you",
    "What",
    "is",
    "two",
    "plus",
    "Four",
    "Name",
    "a",
    "colour",
    "Blue",
    "or",
    "green",
]

pytestmark = pytest.mark.filterwarnings("ignore")  # what TRL and PEFT say to one another


def rows() -> list[list[dict[str, str]]]:
    """Conversations of one and two turns."""
    source = torch.Generator().manual_seed(0)

    def words() -> str:
        n = int(torch.randint(1, 9, (1,), generator=source))
        picks = torch.randint(len(WORDS), (n,), generator=source).tolist()
        return " ".join(WORDS[i] for i in picks)

    return [
        [
            {"role": role, "content": words()}
            for _ in range(1 + row % 2)
            for role in ("user", "assistant")
        ]
        for row in range(N_STEPS * BATCH)
    ]


def our_losses(folder: Path) -> list[float]:
    base = Base(tiny_model("llama", vocabulary=VOCABULARY))
    adapter = Adapter(base.places, LoraConfig(r=4, lora_alpha=8), seed=1)
    save_adapter(adapter, folder, base_model="x/y")
    optimizer = AdamW(adapter)
    chat = Chat(tokenizer(CHATML_MARKED, eos="<|im_end|>"))
    losses = []
    for step in range(N_STEPS):
        batch = [
            chat.encode_conversation(talk) for talk in rows()[step * BATCH : (step + 1) * BATCH]
        ]
        segments = [
            Segment(ids=torch.tensor(e.ids), learn=torch.tensor(e.learn), adapter=adapter)
            for e in batch
        ]
        losses.append(float(torch.cat(learn(base, base.stream(segments))).mean()))
        optimizer.step(RATE)
    return losses


def their_losses(adapter: Path, out: Path) -> list[float]:
    losses: list[float] = []

    class Keep(TrainerCallback):  # type: ignore[misc]
        def on_log(self, *_: object, logs: dict[str, Any], **__: object) -> None:
            if "loss" in logs:
                losses.append(logs["loss"])

    class InOrder(SFTTrainer):  # type: ignore[misc]
        def _get_train_sampler(self, *_: object) -> torch.utils.data.Sampler[int]:
            return torch.utils.data.SequentialSampler(self.train_dataset)

    model = tiny_model("llama", vocabulary=VOCABULARY)
    trainer = InOrder(
        model=PeftModel.from_pretrained(model, str(adapter), is_trainable=True),
        args=SFTConfig(
            output_dir=str(out), per_device_train_batch_size=BATCH, max_steps=N_STEPS,
            learning_rate=RATE, lr_scheduler_type="constant", warmup_steps=0, max_grad_norm=1.0,
            weight_decay=0.0, logging_steps=1, assistant_only_loss=True, use_cpu=True, bf16=False,
            report_to=[], save_strategy="no", disable_tqdm=True, optim="adamw_torch",
            gradient_checkpointing=False, loss_type="nll", max_length=None,
        ),
        processing_class=marked_without_line_feed(),
        train_dataset=Dataset.from_list([{"messages": talk} for talk in rows()]),
        callbacks=[Keep()],
    )  # fmt: skip
    trainer.train()
    return losses


def marked_without_line_feed() -> Any:  # noqa: ANN401
    """The tokenizer with the line feed after a turn outside of the marked block, as we teach."""
    template = CHATML_MARKED.replace("<|im_end|>\n{% endgen", "<|im_end|>{% endgen").replace(
        "{% endgeneration %}", "{% endgeneration %}{{ '\\n' }}"
    )
    return tokenizer(template, eos="<|im_end|>")


def test_the_first_losses_are_those_of_trl(tmp_path: Path) -> None:
    ours = our_losses(tmp_path / "adapter")
    theirs = their_losses(tmp_path / "adapter", tmp_path / "out")
    assert len(theirs) == N_STEPS
    assert ours[-1] < ours[0] - 0.2
    assert max(abs(a - b) for a, b in zip(ours, theirs, strict=True)) < 1e-4
