"""Scale's words for datasets and their rows, and back. Pure functions, nothing else."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import cast

from tunery.core.errors import Unsupported
from tunery.core.examples import (
    ChatExample,
    CompletionExample,
    Example,
    Message,
    PreferencePair,
    read_examples,
)
from tunery.core.files import File, Format
from tunery.core.lines import LineSplitter
from tunery.dialects.egp.errors import Misplaced
from tunery.dialects.egp.training_datasets.schemas import DatasetObject, ItemObject
from tunery.service.intake import TRAINING, FileRequest

DOOR = "egp"
_LONGEST_NAME = 255
_SUFFIX = ".jsonl"
_LONGEST_STEM_BYTES = 200
_SCHEMA_TYPE = "GENERATION"


def to_wire(file: File) -> DatasetObject:
    """`file` as `GET /v4/training-datasets/{id}` answers it."""
    return DatasetObject(
        id=file.id,
        account_id=file.project_id,
        created_at=file.created_at,
        created_by_user_id=file.created_by,
        created_by_identity_type=file.created_by_type,
        name=_name(file),
    )


def file_request(fields: Mapping[str, str]) -> FileRequest:
    """What a form says of its dataset.

    Raises:
        Misplaced: a part is missing or cannot be.
    """
    name, schema_type = (_required(fields, part) for part in ("name", "schema_type"))
    if schema_type != _SCHEMA_TYPE:
        raise Misplaced(
            f"schema_type is {schema_type[:80]!r}; only {_SCHEMA_TYPE} is trained on",
            "body",
            "schema_type",
        )
    if not 1 <= len(name) <= _LONGEST_NAME or not name.isprintable():
        raise Misplaced(f"name must have 1 to {_LONGEST_NAME} printable characters", "body", "name")
    return FileRequest(
        filename=_filename(name),
        purpose=TRAINING,
        echo={DOOR: {"name": name, "schema_type": schema_type}},
    )


def check_pairs(file: File) -> None:
    """Refuse, with Unsupported, a dataset whose rows are no pairs of input and output."""
    if file.format not in (Format.CHAT, Format.COMPLETION):
        raise Unsupported(
            f"Dataset {file.id} has the format {file.format}: no pairs of input and output."
        )


def items(pieces: Iterable[bytes]) -> Iterator[ItemObject]:
    """The rows of a dataset whose bytes are `pieces`."""
    return (_item(example) for _, example in read_examples(_lines(pieces)))


def _item(example: Example) -> ItemObject:
    match example:
        case CompletionExample():
            return ItemObject(input=example.prompt, output=example.completion)
        case ChatExample(messages=messages):
            taught = [place for place, message in enumerate(messages) if message.is_taught]
            last = taught[-1] if taught else len(messages) - 1
            return ItemObject(input=_asked(messages[:last]), output=_said(messages[last]))
        case PreferencePair():
            raise Unsupported("A preference has two outputs.")


def _asked(messages: Sequence[Message]) -> str:
    """A single question as it is; else every turn with whose it is."""
    if [message.role for message in messages] == ["user"]:
        return messages[0].text
    return "\n".join(f"{message.role}: {_said(message)}" for message in messages)


def _said(message: Message) -> str:
    calls = [f"{call.name}({call.arguments})" for call in message.calls]
    return "\n".join([*([message.text] if message.text else ()), *calls])


def _lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    splitter = LineSplitter()
    for piece in pieces:
        for lines in splitter.feed(piece):
            yield from (lines or b"").split(b"\n")
    yield splitter.rest() or b""


def _required(fields: Mapping[str, str], part: str) -> str:
    if part not in fields:
        raise Misplaced("Field required", "body", part, code="missing")
    return fields[part]


def _filename(name: str) -> str:
    """A file name that says what the dataset is called."""
    stem = "".join("_" if character in "/\\" else character for character in name)
    stem = stem.removesuffix(_SUFFIX).encode()[:_LONGEST_STEM_BYTES].decode(errors="ignore")
    return stem + _SUFFIX


def _name(file: File) -> str:
    """The dataset's own name; that of a file which came through another door is the file's."""
    kept = file.echo.get(DOOR)
    return cast(str, kept["name"]) if isinstance(kept, Mapping) else file.filename
