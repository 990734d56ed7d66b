"""The model card that lies beside an adapter."""

from __future__ import annotations

from pathlib import Path

from tunery.core.models import Quantization
from tunery.core.progress import RunRequest
from tunery.modeling.adapter import Adapter
from tunery.trainers.checkpoint import Position

_CARD = """\
---
base_model: {base_model}
library_name: peft
pipeline_tag: text-generation
tags:
- lora
- tunery
---

# {name}

A LoRA adapter for `{base_model}`, made by {method} with Tunery.

| | |
|---|---|
| job | `{job_id}` |
| rows | {n_rows} |
| epochs | {n_epochs} |
| batch size | {batch_size} |
| steps | {total_steps} |
| learning rate | {learning_rate:g}, warm-up over {warmup:g} % of the steps, then linear to zero |
| weight decay | {weight_decay:g} |{beta}{kept}
| seed | {seed} |
| rank, alpha, dropout | {r}, {lora_alpha:g}, {lora_dropout:g} |
| adapted layers | {targets} |
| trained parameters | {n_parameters:,} |
| taught tokens seen | {trained_tokens:,} |

{loss} The tokenizer and the chat template that it was
trained with lie beside it.

```python
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("PATH_OF_THIS_FOLDER")
base = AutoModelForCausalLM.from_pretrained("{base_model}")
model = PeftModel.from_pretrained(base, "PATH_OF_THIS_FOLDER")
```
"""


_KEPT: dict[Quantization, str] = {
    "nf4": "\n| base | its linear layers in four bits (NF4, blocks of 64, scales in fp32) |"
}

_SUPERVISED = {
    "method": "supervised fine-tuning",
    "beta": "",
    "loss": "Loss was taken on the assistant's tokens alone.",
}


def _by_preference(beta: float) -> dict[str, str]:
    return {
        "method": "direct preference optimization",
        "beta": f"\n| beta | {beta:g} |",
        "loss": "Each row had a better and a worse answer (Rafailov et al. 2023, eq. 7).",
    }


def model_card(request: RunRequest, adapter: Adapter, position: Position) -> str:
    """What the adapter is and how it came about."""
    beta = request.hyperparameters.beta
    return _CARD.format(
        **(_SUPERVISED if beta is None else _by_preference(beta)),
        kept="" if request.quantization is None else _KEPT[request.quantization],
        base_model=request.base_model,
        name=request.trained_model or request.job_id,
        job_id=request.job_id,
        n_rows=position.n_rows,
        n_epochs=request.hyperparameters.n_epochs,
        batch_size=position.batch_size,
        total_steps=position.total_steps,
        learning_rate=request.hyperparameters.learning_rate,
        warmup=100 * request.hyperparameters.warmup_ratio,
        weight_decay=request.hyperparameters.weight_decay,
        seed=position.seed,
        r=adapter.config.r,
        lora_alpha=adapter.config.lora_alpha,
        lora_dropout=adapter.config.lora_dropout,
        targets=", ".join(f"`{target}`" for target in adapter.peft_targets()),
        n_parameters=adapter.n_parameters,
        trained_tokens=position.trained_tokens,
    )


def public_name(request: RunRequest) -> str:
    """What to call the base model in files that leave this machine: never one of its paths."""
    is_id = request.location.count("/") == 1 and not Path(request.location).exists()
    return request.location if is_id else request.base_model
