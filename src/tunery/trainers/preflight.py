"""What a job would see and take: `python -m tunery.trainers.preflight`.

A request goes in, a report comes out.
"""

from __future__ import annotations

import logging
from pathlib import Path

import msgspec
from transformers.utils.logging import disable_progress_bar

from tunery.core.errors import InvalidFile, TuneryError
from tunery.core.examples import (
    ChatExample,
    CompletionExample,
    Example,
    PreferencePair,
    read_examples,
)
from tunery.core.files import Format
from tunery.core.hyperparameters import auto_batch_size
from tunery.core.lora import LoraConfig
from tunery.core.preflight import Preflight
from tunery.core.problems import MOST_PROBLEMS, Problem
from tunery.core.progress import PreflightRequest
from tunery.modeling import quantized
from tunery.modeling.adapter import Adapter
from tunery.modeling.base import Base
from tunery.modeling.chat import Chat
from tunery.modeling.folders import resolve_base
from tunery.modeling.load import context_length, dtype_of, load_model, load_tokenizer
from tunery.modeling.segments import Segment
from tunery.trainers import memory
from tunery.trainers.pipes import listen, own_output
from tunery.trainers.precision import choose
from tunery.trainers.survey import survey_files
from tunery.trainers.text_data import rendered
from tunery.trainers.threads import set_threads
from tunery.trainers.trial import some_rows, steps

# The probe of time and memory: so long at least, and at most so much work.
_PROBE_SECONDS = 0.5
_PROBE_OPERATIONS = 4e11
_PROBE_TOKENS = (64, 2048)

_TEMPLATES = {
    "<|im_start|>": "chatml",
    "<|start_header_id|>": "llama 3",
    "<start_of_turn>": "gemma",
    "[INST]": "mistral",
}


def preflight(request: PreflightRequest) -> Preflight:
    """The report on the request's files."""
    try:
        folder = resolve_base(request.location)
        chat = Chat(load_tokenizer(folder))
        context = context_length(folder)
    except TuneryError as unusable:
        return _unusable(unusable)
    report = _surveyed(request, chat, context)
    if report.n_errors or report.tokens is None:
        return report
    choice = choose(request, chat, n_rows=_n_rows(request, report), context=report.context)
    report = msgspec.structs.replace(report, precision=choice.precision, bf16_gain=choice.bf16_gain)
    if not request.estimate:
        return report
    try:
        return _estimated(request, report)
    except TuneryError as refused:
        problem = Problem(line=None, field=refused.param, message=refused.message)
        return msgspec.structs.replace(report, problems=(problem, *report.problems), n_errors=1)


def _surveyed(request: PreflightRequest, chat: Chat, context: int | None) -> Preflight:
    """The report on what stands in the files."""
    surveys = survey_files(request, chat, context)
    problems = [problem for survey in surveys for problem in survey.problems]
    training = surveys[0]
    first = _first_example(Path(request.training_file))
    return Preflight(
        format=_format(first),
        n_rows=training.n_rows,
        n_examples=training.n_examples,
        n_overlong=training.n_overlong,
        context=training.context,
        tokens=training.statistics(),
        problems=tuple(problems[:MOST_PROBLEMS]),
        n_errors=sum(survey.n_errors for survey in surveys),
        n_warnings=sum(survey.n_warnings for survey in surveys),
        template=_template(first, chat),
        rendered=_rendered(first, chat),
    )


def _unusable(error: TuneryError) -> Preflight:
    """The report where the model cannot be used at all."""
    problem = Problem(line=None, field=None, message=error.message)
    return Preflight(
        format=Format.CHAT,
        n_rows=0,
        n_examples=0,
        n_overlong=0,
        context=0,
        tokens=None,
        problems=(problem,),
        n_errors=1,
        n_warnings=0,
    )


def _first_example(path: Path) -> Example | None:
    """The first row of the file; None where it is none, which the survey has said already."""
    with path.open("rb") as lines:
        try:
            return next((example for _, example in read_examples(lines)), None)
        except InvalidFile:
            return None


def _format(example: Example | None) -> Format:
    match example:
        case CompletionExample():
            return Format.COMPLETION
        case PreferencePair():
            return Format.PREFERENCE
        case ChatExample() | None:
            return Format.CHAT


def _rendered(example: Example | None, chat: Chat) -> tuple[tuple[str, bool], ...]:
    """`example` as the model sees it."""
    if example is None:
        return ()
    try:
        return tuple(piece for text in rendered(example, chat) for piece in text.pieces())
    except TuneryError:
        # The survey has said what is wrong with the row.
        return ()


def _template(example: Example | None, chat: Chat) -> str | None:
    """How the chat template is recognised; None where none is used."""
    if isinstance(example, CompletionExample) or not chat.has_template:
        return None
    text = str(chat.tokenizer.chat_template)
    known = (name for mark, name in _TEMPLATES.items() if mark in text)
    return next(known, "from the model")


def _estimated(request: PreflightRequest, report: Preflight) -> Preflight:
    """`report` with time and memory, measured on the model itself over some of the rows."""
    loaded = load_model(
        request.location, quantization=request.quantization, dtype=dtype_of(report.precision)
    )
    base, chat = Base(loaded.model), Chat(loaded.tokenizer)
    config = LoraConfig(
        r=request.r,
        lora_alpha=request.lora_alpha,
        lora_dropout=request.lora_dropout,
        target_modules=request.target_modules,
    )
    adapter = Adapter(base.places, config)
    n_parameters = quantized.n_parameters(loaded.model)
    segments = some_rows(
        request,
        chat,
        adapter,
        n_rows=_n_rows(request, report),
        room=_room(n_parameters),
        context=report.context,
    )
    return msgspec.structs.replace(
        report,
        n_parameters=n_parameters,
        n_trained_parameters=adapter.n_parameters,
        seconds_per_token=_seconds_per_token(base, adapter, segments),
        memory_bytes=memory.peak_bytes(base.device),
        memory_available_bytes=memory.available_bytes(base.device),
    )


def _n_rows(request: PreflightRequest, report: Preflight) -> int:
    """Rows of a step."""
    return request.batch_size or auto_batch_size(report.n_examples)


def _room(n_parameters: int) -> int:
    """Tokens that take no more than a few seconds: 6 operations a parameter and token."""
    least, most = _PROBE_TOKENS
    return min(most, max(least, int(_PROBE_OPERATIONS / (6 * n_parameters))))


def _seconds_per_token(base: Base, adapter: Adapter, segments: list[Segment]) -> float:
    """Time of a step, forward, backward and update, per token of its rows."""
    taken = steps(base, adapter, segments)
    next(taken)  # warms up
    seconds: list[float] = []
    while sum(seconds) < _PROBE_SECONDS:
        seconds.append(next(taken))
    return sum(seconds) / (len(seconds) * sum(len(segment.ids) for segment in segments))


def main() -> None:
    """Answer the request."""
    logging.basicConfig(level=logging.WARNING)
    output = own_output()
    request = msgspec.json.decode(listen(_ignore), type=PreflightRequest)
    disable_progress_bar()
    set_threads(request.threads)
    output.write(msgspec.json.encode(preflight(request)) + b"\n")
    output.flush()


def _ignore(line: bytes) -> None:
    """There is nothing to say to it but its request."""


if __name__ == "__main__":
    main()
