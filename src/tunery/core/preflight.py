"""What the trainer will see, before it starts: the report of `tunery check` and of a dry run."""

import msgspec

from tunery.core.hyperparameters import Precision
from tunery.core.method import Method, Preference, Subject, Supervised
from tunery.core.picture_sets import MOST_PICTURES
from tunery.core.problems import Problem
from tunery.core.progress import Failed

FEWEST_EXAMPLES = 10
"""OpenAI's minimum (guide "Supervised fine-tuning")."""

REQUEST_MODERATED = "request_moderated"
"""The code of a job whose pictures are refused: what BFL calls "Request Moderated"."""


class TokenStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens per row, by the tokenizer and template that training uses.

    A pair counts as two rows: its prompt with the one answer, and with the other.
    """

    total: int
    trained: int
    """Taught tokens: those that the loss is taken over."""
    median: int
    p95: int
    max: int
    histogram: tuple[tuple[int, int], ...]
    """(upper edge in tokens, rows up to it and above the edge before), in rising order."""


class Preflight(msgspec.Struct, frozen=True, kw_only=True):
    """The report on a training file for one base model."""

    format: str
    n_rows: int
    """All rows of the file."""
    n_examples: int
    """The rows that would be trained on, after dropping."""
    n_overlong: int
    context: int
    """The longest row that the model takes, in tokens."""
    tokens: TokenStatistics | None
    problems: tuple[Problem, ...]
    """The first 100, errors and warnings, in the order of their lines."""
    n_errors: int
    n_warnings: int
    template: str | None = None
    """How the chat template is named or recognised, such as "chatml" or "from the model"."""
    rendered: tuple[tuple[str, bool], ...] = ()
    """The first row as the model sees it: pieces of text, and whether each is taught."""
    n_parameters: int | None = None
    n_trained_parameters: int | None = None
    seconds_per_token: float | None = None
    """Measured on this machine in a short probe: training, per token of the stream."""
    memory_bytes: int | None = None
    """Estimated peak of the trainer process (or of the GPU, where there is one)."""
    memory_available_bytes: int | None = None
    precision: Precision | None = None
    """What a text job is to compute in."""
    bf16_gain: float | None = None
    """So many times as fast is training in bf16 here; None where that was not measured."""


def refusal(report: Preflight, method: Method) -> Failed | None:
    """Why a job with this report cannot run, coded and worded as OpenAI's; None where it can."""
    errors = [problem for problem in report.problems if problem.level == "error"]
    if errors:
        which = errors[0].file
        shown = "\n".join(str(problem) for problem in errors[:20])
        more = report.n_errors - min(len(errors), 20)
        rest = f"\nand {more} more" if more else ""
        return Failed(
            code=f"invalid_{which}_file",
            message=f"The job failed due to an invalid {which} file. {shown}{rest}",
            param=f"{which}_file",
        )
    match method:
        case Supervised() | Preference():
            return _refused_number(report.n_examples)
        case Subject():
            return _refused_pictures(report.n_examples)


def _refused_number(n_examples: int) -> Failed | None:
    if n_examples >= FEWEST_EXAMPLES:
        return None
    return Failed(
        code="invalid_n_examples",
        message=too_few_examples(n_examples),
        param="training_file",
    )


def _refused_pictures(n_pictures: int) -> Failed | None:
    if 1 <= n_pictures <= MOST_PICTURES:
        return None
    return Failed(
        code=REQUEST_MODERATED,
        message=f"The ZIP has {n_pictures} pictures; it must have from 1 to {MOST_PICTURES}.",
        param="training_file",
    )


def too_few_examples(n_examples: int) -> str:
    """OpenAI's sentence for a training set that is too small."""
    return (
        f"Training file has {n_examples} example(s), but must have at least "
        f"{FEWEST_EXAMPLES} examples"
    )
