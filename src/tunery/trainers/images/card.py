"""The model card that lies beside an adapter of an image model."""

from __future__ import annotations

import json
import re

from tunery.core.progress import RunRequest, SubjectRequest
from tunery.trainers.card import public_name
from tunery.trainers.images.checkpoints import Position

_CARD = """\
---
base_model: {base_model}
library_name: diffusers
pipeline_tag: text-to-image
instance_prompt: {quoted_trigger_word}
tags:
- lora
- flux
- tunery
---

# {name}

A LoRA for `{base_model}` that draws what {trigger_word} stands for, made with Tunery from
{n_pictures} pictures.

| | |
|---|---|
| job | `{job_id}` |
| tuning | {tuning} |
| steps, batch size | {total_steps}, {batch_size} |
| learning rate | {learning_rate:g}, warm-up over {warmup:g} % of the steps, then linear to zero |
| weight decay | {weight_decay:g} |
| seed | {seed} |
| rank | {r} |

```python
from diffusers import FluxPipeline

pipeline = FluxPipeline.from_pretrained("{base_model}")
pipeline.load_lora_weights("PATH_OF_THIS_FOLDER")
image = pipeline({prompt}).images[0]
```
"""


def model_card(
    request: RunRequest, subject: SubjectRequest, position: Position, kept: float
) -> str:
    """What the adapter is and how it came about; `kept` is its share of a full tuning."""
    tuning = "adapter"
    if subject.finetune_type == "full":
        tuning = f"full; the adapter was extracted from it, and holds {kept:.0%} of the change"
    return _CARD.format(
        base_model=public_name(request),
        name=request.trained_model or request.job_id,
        job_id=request.job_id,
        trigger_word=_code(subject.trigger_word),
        quoted_trigger_word=_quoted(subject.trigger_word),
        prompt=_quoted(f"a picture of {subject.trigger_word}"),
        tuning=tuning,
        n_pictures=position.n_pictures,
        batch_size=position.batch_size,
        total_steps=position.total_steps,
        learning_rate=request.hyperparameters.learning_rate,
        warmup=100 * request.hyperparameters.warmup_ratio,
        weight_decay=request.hyperparameters.weight_decay,
        seed=position.seed,
        r=request.r,
    )


def _quoted(text: str) -> str:
    """`text` as both YAML and Python have it between quotes."""
    return json.dumps(text, ensure_ascii=False)


def _code(text: str) -> str:
    """`text` as a code span of Markdown, backticks and all (CommonMark 0.31, section 6.1)."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    return f"{fence} {text} {fence}" if longest else f"`{text}`"
