"""Our part of the measurements on a GPU: `python -m benchmarks.gpu_ours TASK`, a `Task` as JSON.

Its last line is a `Result` as JSON. It is the trainer's own loop on rows of random tokens: as in a
job, it chooses for itself how many rows go through at a time and what is computed again.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator

import msgspec
import torch

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
from tunery.core.lora import LoraConfig
from tunery.modeling.adapter import Adapter
from tunery.modeling.base import Base
from tunery.modeling.optimizer import AdamW
from tunery.modeling.quantized import pack_linears
from tunery.modeling.segments import Segment
from tunery.trainers.company import Company, Job
from tunery.trainers.memory import peak_bytes
from tunery.trainers.preparation import rows_at_a_time
from tunery.trainers.text_sft import Step, learn


def main(given: str) -> None:
    """Learn as the task says."""
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s", stream=sys.stderr)
    task = msgspec.json.decode(given, type=Task)
    base = _base(task)
    # What is compiled, chosen and measured once is nobody's merit.
    _learn(base, task, range(task.n_jobs), n_steps=task.warm_up)
    forget_peak()
    began = time.perf_counter()
    if task.jobs == "in turn":
        for job in range(task.n_jobs):
            _learn(base, task, [job], n_steps=task.n_steps)
    else:
        _learn(base, task, range(task.n_jobs), n_steps=task.n_steps)
    result = Result(
        seconds=time.perf_counter() - began,
        tokens=task.n_jobs * task.n_steps * task.n_rows * task.n_tokens,
        peak_bytes=peak_bytes(base.device),
        about=f"{rows_at_a_time(base).max_rows:,} rows at a time",
    )
    print(msgspec.json.encode(result).decode())


def _base(task: Task) -> Base:
    model = random_model(task.shape)
    if task.in_four_bits:
        pack_linears(model, model.get_output_embeddings(), device())
        if device().type == "cuda":
            torch.cuda.empty_cache()
    return Base(model)


def _learn(base: Base, task: Task, jobs: range | list[int], *, n_steps: int) -> None:
    """Let `jobs` learn together."""
    company: Company[Step] = Company(base, rows_at_a_time(base))
    for job in jobs:
        company.join(str(job), _job(base, task, job, n_steps))
    while len(company):
        for _ in company.round():
            continue
    finish()


def _job(base: Base, task: Task, number: int, n_steps: int) -> Job[Step]:
    config = LoraConfig(r=RANK, lora_alpha=ALPHA)
    adapter = Adapter(base.places, config, seed=number)

    def steps() -> Iterator[list[Segment]]:
        for step in range(n_steps):
            rows = random_rows(task, task.n_rows, seed=1000 * number + step)
            learns = torch.ones(task.n_tokens, dtype=torch.bool)
            yield [Segment(ids=ids, learn=learns, adapter=adapter) for ids in rows]

    return learn(AdamW(adapter), steps(), lambda step: 1e-4, rows_at_a_time(base))


if __name__ == "__main__":
    main(sys.argv[1])
