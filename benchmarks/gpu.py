"""On an NVIDIA GPU: one long job against TRL, and many small ones together (`make bench-gpu`).

Models of random weights in the shapes of known ones; nothing is downloaded. `--tiny` does the same
on a processor with tiny shapes, to its end: those figures say nothing.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import msgspec
import torch

from benchmarks import report, rivals
from benchmarks.comparison import Comparison, show
from benchmarks.gpu_task import RANK, Result, Task

SHAPES = ("Qwen3-0.6B", "Llama-3.1-8B")
N_TOKENS, N_ROWS, N_STEPS, WARM_UP = 4096, 4, 10, 3
N_JOBS, SMALL_TOKENS, SMALL_ROWS, SMALL_STEPS = 16, 256, 8, 10
ROUNDS = 3
_GIB = 2**30

Unit: TypeAlias = Literal["tok/s", "s", "GiB"]


@dataclass(eq=False)
class Series:
    """One side's measurements; the first that fails is its last.

    Attributes:
        name: what it is called below the table.
        module: what carries the task out.
    """

    name: str
    module: str
    task: Task
    results: list[Result] = field(default_factory=list)
    trouble: str = ""

    def again(self) -> None:
        """Measure once more, unless it has failed."""
        if self.trouble:
            return
        print(f"  {self.name}", file=sys.stderr, flush=True)
        try:
            given = msgspec.json.encode(self.task).decode()
            said = rivals.said(self.module, given, threads=torch.get_num_threads())
            self.results.append(msgspec.json.decode(said, type=Result))
        except (RuntimeError, msgspec.DecodeError) as error:
            lines = str(error).strip().splitlines()
            self.trouble = lines[-1][:200] if lines else "it said nothing"

    def values(self, unit: Unit) -> list[float]:
        """Of each measurement, in that unit: its pace, its time, or its peak of memory."""
        match unit:
            case "tok/s":
                return [result.tokens_per_second for result in self.results]
            case "s":
                return [result.seconds for result in self.results]
            case "GiB":
                return [result.peak_bytes / _GIB for result in self.results]


def main() -> None:
    """Measure, and write the section on GPUs where it was one."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="tiny shapes, on whatever is there")
    tiny = parser.parse_args().tiny
    if not tiny and not torch.cuda.is_available():
        parser.error("there is no CUDA device here; --tiny runs without one")
    found = comparisons(tiny=tiny)
    show(found)
    if not tiny:
        report.write_section("gpu", _section(found))
        print("written to docs/benchmarks.md", file=sys.stderr)


def comparisons(*, tiny: bool) -> list[Comparison]:
    """Of each shape, a long job and many small ones."""
    found: list[Comparison] = []
    for shape in ("tiny",) if tiny else SHAPES:
        print(f"{shape}: a long job", file=sys.stderr, flush=True)
        found += _long_job(shape, tiny=tiny)
        print(f"{shape}: many small jobs", file=sys.stderr, flush=True)
        found += _small_jobs(shape, tiny=tiny)
    return found


def _long_job(shape: str, *, tiny: bool) -> list[Comparison]:
    task = Task(
        shape=shape,
        n_tokens=64 if tiny else N_TOKENS,
        n_rows=2 if tiny else N_ROWS,
        n_steps=2 if tiny else N_STEPS,
        warm_up=1 if tiny else WARM_UP,
    )
    ours = Series("ours", "benchmarks.gpu_ours", task)
    packed = Series(
        "ours in four bits",
        "benchmarks.gpu_ours",
        msgspec.structs.replace(task, in_four_bits=True),
    )
    trl = [_rival(task, *settings) for settings in _rival_settings(task, tiny=tiny)]
    _in_turn([ours, packed, *trl], rounds=1 if tiny else ROUNDS)
    best = max(trl, key=lambda series: max(series.values("tok/s"), default=0))
    what = f"{shape}, a job of {task.n_tokens:,}-token rows"
    return [
        _compared(what, "tok/s", ours, best, at_least=2, note=_about(ours, trl)),
        _compared(f"{what}, peak memory", "GiB", ours, best),
        _compared(f"{what}, in four bits", "tok/s", packed, ours),
        _compared(f"{what}, in four bits, peak memory", "GiB", packed, ours),
    ]


def _rival_settings(task: Task, *, tiny: bool) -> list[tuple[int, bool]]:
    """Rows at a time, and whether layers are computed again; what does not fit says so."""
    return [(task.n_rows, False)] if tiny else [(task.n_rows, False), (1, False), (4, True)]


def _rival(task: Task, batch_size: int, checkpointing: bool) -> Series:
    on_gpu = torch.cuda.is_available()
    liger = on_gpu and importlib.util.find_spec("liger_kernel") is not None
    set_up = msgspec.structs.replace(
        task,
        batch_size=batch_size,
        checkpointing=checkpointing,
        attention=_attention() if on_gpu else "sdpa",
        liger=liger,
    )
    again = "with" if checkpointing else "without"
    name = (
        f"TRL, {batch_size} rows at a time, {again} gradient checkpointing, {set_up.attention}, "
        f"{'with' if liger else 'without'} Liger"
    )
    return Series(name, "benchmarks.rival_gpu", set_up)


def _attention() -> str:
    """The fastest that transformers finds here."""
    if importlib.util.find_spec("flash_attn") is not None:
        return "flash_attention_2"
    if importlib.util.find_spec("kernels") is not None:
        return "kernels-community/flash-attn2"
    return "sdpa"


def _small_jobs(shape: str, *, tiny: bool) -> list[Comparison]:
    n_jobs = 3 if tiny else N_JOBS
    task = Task(
        shape=shape,
        n_tokens=16 if tiny else SMALL_TOKENS,
        n_rows=2 if tiny else SMALL_ROWS,
        n_steps=2 if tiny else SMALL_STEPS,
        warm_up=1,
        jobs="together",
        n_jobs=n_jobs,
    )
    one_by_one = msgspec.structs.replace(task, jobs="in turn")
    together = Series(f"{n_jobs} jobs together", "benchmarks.gpu_ours", task)
    in_turn = Series(f"{n_jobs} jobs of ours, one after another", "benchmarks.gpu_ours", one_by_one)
    _in_turn([together, in_turn], rounds=1 if tiny else ROUNDS)
    what = f"{shape}, {n_jobs} small jobs"
    note = (
        f"each {task.n_steps} steps of {task.n_rows} rows of {task.n_tokens} tokens, the base in "
        "memory on both sides"
    )
    return [
        _compared(what, "s", together, in_turn, at_least=4, note=note),
        _compared(f"{what}, peak memory", "GiB", together, in_turn),
    ]


def _in_turn(series: Sequence[Series], *, rounds: int) -> None:
    for _ in range(rounds):
        for one in series:
            one.again()


def _compared(
    what: str,
    unit: Unit,
    ours: Series,
    theirs: Series,
    *,
    at_least: float | None = None,
    note: str = "",
) -> Comparison:
    return Comparison(
        what=what,
        rival=theirs.name,
        unit=unit,
        ours=ours.values(unit),
        theirs=theirs.values(unit),
        more_is_better=unit == "tok/s",
        at_least=at_least,
        note=note,
        trouble=ours.trouble or theirs.trouble,
    )


def _about(ours: Series, trl: Sequence[Series]) -> str:
    """How ours went about it, and what the rival's settings gave."""
    own = ours.results[-1].about if ours.results else ours.trouble
    gave = [f"{one.name}: {one.trouble or _most(one)}" for one in trl]
    return "; ".join([f"ours {own}", *gave])


def _most(series: Series) -> str:
    return f"{max(series.values('tok/s')):,.0f} tok/s"


def _section(found: Sequence[Comparison]) -> str:
    properties = torch.cuda.get_device_properties(0)
    memory = f"{properties.name}, {properties.total_memory / _GIB:.0f} GiB"
    return f"""\
## On a GPU

`make bench-gpu`; rank {RANK}, all linear layers, random weights, bf16:

{report.machine(memory, f"CUDA {torch.version.cuda}")}

{report.table(found)}
"""


if __name__ == "__main__":
    main()
