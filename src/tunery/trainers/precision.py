"""What a text job computes in: on a CPU, bf16 where that is clearly faster there, or else fp32.

It is measured, since neither the processor's features nor the size of a model tell: of a small one
most of a step is not products, and of narrow ones they gain little. What was found of a base on
this machine is kept, so that all jobs on it agree and can share a process.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import msgspec
import torch
from transformers import AutoConfig

from tunery import __version__
from tunery.core.hyperparameters import Precision
from tunery.core.lora import LoraConfig
from tunery.core.progress import PreflightRequest
from tunery.modeling.adapter import Adapter
from tunery.modeling.base import Base
from tunery.modeling.chat import Chat
from tunery.modeling.folders import resolve_base
from tunery.modeling.load import default_device, default_precision, dtype_of, load_model
from tunery.trainers.trial import some_rows, steps

_log = logging.getLogger(__name__)

# Below this, rounding is not worth it, and another measurement might say something else.
_CLEARLY = 1.3

_BOTH: tuple[Precision, ...] = ("fp32", "bf16")
_ROUNDS = 3

# The products that are measured: rows, and the widest that a layer is taken to be.
_ROWS = 256
_WIDEST = 1024

# A step over so many tokens, of a base whose files are no larger than this, takes some tenths of a
# second. Of a larger one nearly all of a step is products.
_TOKENS = 512
_SMALL_BYTES = 32 * 2**20


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """What to compute in.

    Attributes:
        bf16_gain: so many times as fast is training in bf16; None where that was not measured.
    """

    precision: Precision
    bf16_gain: float | None = None


def choose(request: PreflightRequest, chat: Chat, *, n_rows: int, context: int) -> Choice:
    """What the job is to compute in; on a base that is new here it takes a second to find out.

    Args:
        request: says what was chosen, if anything was, and where measurements are kept.
        chat: renders the job's rows.
        n_rows: of a step.
        context: the longest row that the model takes.
    """
    if request.precision is not None:
        return Choice(precision=request.precision)
    usual = Choice(precision=default_precision(device := default_device()))
    if device.type != "cpu" or request.quantization is not None or request.measurements is None:
        return usual
    folder = resolve_base(request.location)

    def measured() -> Choice:
        try:
            gain = _gain(request, folder, chat, n_rows=n_rows, context=context)
        except Exception:
            # Whatever is wrong with this base or its rows, learning says it in its own words.
            _log.warning("bf16 could not be tried on this base", exc_info=True)
            return usual
        return Choice(precision="bf16" if gain >= _CLEARLY else "fp32", bf16_gain=gain)

    return _kept(Path(request.measurements) / f"precision-{_key(folder)}.json", measured)


def _gain(
    request: PreflightRequest, folder: Path, chat: Chat, *, n_rows: int, context: int
) -> float:
    """How many times as fast as in fp32 a step is in bf16."""
    gain = _gain_of_products(folder)
    if gain < _CLEARLY or _weights_bytes(folder) > _SMALL_BYTES:
        return gain
    return _gain_of_steps(request, chat, n_rows=n_rows, context=context)


def _gain_of_products(folder: Path) -> float:
    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    width = min(_WIDEST, int(config.get_text_config().hidden_size))

    def products(precision: Precision) -> Iterator[float]:
        """Seconds of a layer's product and of its gradient, again and again."""
        x, weight = (torch.ones(n, width, dtype=dtype_of(precision)) for n in (_ROWS, 2 * width))
        while True:
            began = time.perf_counter()
            torch.mm(torch.mm(x, weight.T), weight)
            yield time.perf_counter() - began

    return _ratio({precision: products(precision) for precision in _BOTH})


def _gain_of_steps(request: PreflightRequest, chat: Chat, *, n_rows: int, context: int) -> float:
    def taken(precision: Precision) -> Iterator[float]:
        base = Base(load_model(request.location, dtype=dtype_of(precision)).model)
        adapter = Adapter(base.places, LoraConfig())
        rows = some_rows(request, chat, adapter, n_rows=n_rows, room=_TOKENS, context=context)
        return steps(base, adapter, rows)

    return _ratio({precision: taken(precision) for precision in _BOTH})


def _ratio(of: Mapping[Precision, Iterator[float]]) -> float:
    """How many times as fast the second is, in turns after one to warm up, by the best of each.

    What else the machine does can only make a turn longer.
    """
    for seconds in of.values():
        next(seconds)
    best = dict.fromkeys(of, float("inf"))
    for _ in range(_ROUNDS):
        best = {precision: min(best[precision], next(of[precision])) for precision in of}
    return best["fp32"] / best["bf16"]


def _weights_bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))


def _key(folder: Path) -> str:
    """Another for each base, machine and version of what computes here."""
    about = (
        __version__,
        torch.__version__,
        torch.get_num_threads(),
        sorted(torch.cpu.get_capabilities().items()),
        (folder / "config.json").read_bytes(),
        _weights_bytes(folder),
    )
    return hashlib.sha256(repr(about).encode()).hexdigest()[:32]


def _kept(file: Path, measure: Callable[[], Choice]) -> Choice:
    """What stands in `file`, or is measured now and kept there; who wrote first is right."""
    if (known := _read(file)) is not None:
        return known
    found = measure()
    if found.bf16_gain is None:
        return found
    partial = file.with_suffix(f".{os.getpid()}.partial")
    try:
        file.parent.mkdir(exist_ok=True)
        partial.write_bytes(msgspec.json.encode(found))
        file.hardlink_to(partial)
    except FileExistsError:
        return _read(file) or found
    except OSError as error:
        _log.warning("it is measured again for the next job: %s", error)
    finally:
        partial.unlink(missing_ok=True)
    return found


def _read(file: Path) -> Choice | None:
    try:
        return msgspec.json.decode(file.read_bytes(), type=Choice)
    except FileNotFoundError:
        return None
    except OSError as unreadable:
        _log.warning("what was measured before cannot be read: %s", unreadable)
        return None
    except msgspec.DecodeError as damage:
        _log.warning("%s is measured anew: %s", file.name, damage)
        file.unlink(missing_ok=True)
        return None
