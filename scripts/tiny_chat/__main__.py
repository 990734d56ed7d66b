"""Make `tiny-chat` and write it to its place: `python -m scripts.tiny_chat`."""

from __future__ import annotations

import argparse
import random
import shutil
from pathlib import Path

import torch

from scripts.tiny_chat.batches import padded, rendered
from scripts.tiny_chat.pretrain import curriculum, new_model, share_right, train
from scripts.tiny_chat.tasks import TASKS, long_copy, long_look_up, ordinary_texts
from scripts.tiny_chat.tokenizer import CONTEXT, save_for_transformers, tokenizer_from_texts

_SEED = 2
_STEPS = 3600
_PLACE = Path(__file__).resolve().parents[2] / "src" / "tunery" / "bases" / "tiny-chat"
_CARD = Path(__file__).with_name("card.md")


def main() -> None:
    """Train the tokenizer and the model, say how well each task is done, save."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--steps", type=int, default=_STEPS)
    options.add_argument("--threads", type=int, default=1)
    options.add_argument("--out", type=Path, default=_PLACE)
    chosen = options.parse_args()

    torch.set_num_threads(chosen.threads)
    torch.manual_seed(_SEED)
    tokenizer = tokenizer_from_texts(ordinary_texts(random.Random(_SEED), 8000))
    model = new_model(tokenizer, seed=_SEED)
    print(f"{model.num_parameters():,} parameters")
    train(model, curriculum(tokenizer, steps=chosen.steps, seed=_SEED), steps=chosen.steps)

    model.eval()
    rng = random.Random(_SEED + 1)
    for task in (*TASKS, long_look_up, long_copy):
        rows = [rendered(tokenizer, task(rng)) for _ in range(40)]
        rows = [row for row in rows if len(row.ids) <= CONTEXT]
        print(f"{task.__name__}: {share_right(model, (padded([row]) for row in rows)):.0%}")

    model.generation_config.update(do_sample=False, max_new_tokens=256)
    model.save_pretrained(chosen.out)
    save_for_transformers(tokenizer, chosen.out)
    shutil.copyfile(_CARD, chosen.out / "README.md")


if __name__ == "__main__":
    main()
