"""TrueFoundry's gateway: the same API with `x-tfy-*` headers, and without `/v1`.

A header chooses where a job or a file is made, and all of them are checked there; on every other
call they are accepted and change nothing.
https://www.truefoundry.com/docs/ai-gateway/headers
"""

import string
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Annotated
from urllib.parse import quote

from fastapi import Request
from pydantic import Field, TypeAdapter, ValidationError
from starlette.types import Scope

from tunery.core.errors import InvalidValue
from tunery.core.job import JobStatus, NewJob
from tunery.dialects.fields import STORABLE
from tunery.dialects.openai.fine_tuning import mapping
from tunery.dialects.openai.fine_tuning.queries import MOST_PAIRS
from tunery.dialects.openai.fine_tuning.schemas import CreateJob, MetadataKey, Status, XTunery
from tunery.dialects.route import services
from tunery.service.intake import check_purpose

METADATA = "x-tfy-metadata"
PROVIDER_NAME = "x-tfy-provider-name"
PROVIDER_MODEL = "x-tfy-provider-model"
FILE_PURPOSE = "x-tfy-file-purpose"
VERTEX_BUCKET = "x-tfy-vertex-storage-bucket-name"
VERTEX_REGION = "x-tfy-vertex-region"
RESOLVED_MODEL = "x-tfy-resolved-model"

_PREFIX = b"x-tfy-"
_LONGEST_TEXT = 512
_LONGEST_METADATA_VALUE = 128
_AS_THEY_ARE = string.punctuation.replace("%", "") + " "

STATUS: Mapping[JobStatus, Status] = {
    **mapping.STATUS,
    # Its schema has no word for a job whose files are still being read.
    JobStatus.VALIDATING_FILES: "queued",
}

_metadata = TypeAdapter(
    Annotated[
        dict[MetadataKey, Annotated[str, Field(max_length=_LONGEST_METADATA_VALUE), STORABLE]],
        Field(max_length=MOST_PAIRS),
    ]
)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What the headers of a request choose; None where they say nothing."""

    metadata: Mapping[str, str] | None = None
    provider_name: str | None = None
    provider_model: str | None = None
    file_purpose: str | None = None
    kept: Mapping[str, str] = field(default_factory=dict)
    """What a provider may want to know, by header without `x-tfy-`."""

    @property
    def echo(self) -> Mapping[str, object]:
        """What rides along with a job or a file."""
        return {"truefoundry": self.kept} if self.kept else {}

    def over(self, body: CreateJob) -> CreateJob:
        """`body` with what the headers choose; keys of its own metadata win.

        Raises:
            InvalidValue: both together have more metadata than a job can have.
        """
        changed: dict[str, object] = {}
        if self.provider_name is not None:
            own = body.x_tunery or XTunery()
            changed["x_tunery"] = own.model_copy(update={"engine": self.provider_name})
        if self.provider_model is not None:
            changed["model"] = self.provider_model
        if self.metadata:
            changed["metadata"] = self._with_metadata(body.metadata or {})
        return body.model_copy(update=changed)

    def to_core(self, body: CreateJob) -> NewJob:
        """`body`, which the headers are in already, as the core's request."""
        return replace(mapping.to_core(body), echo=self.echo)

    @contextmanager
    def names_headers(self) -> Iterator[None]:
        """A refusal of the model names the header where that is what chose it."""
        try:
            yield
        except InvalidValue as error:
            if error.param != "model" or self.provider_model is None:
                raise
            raise _wrong(PROVIDER_MODEL, error.message, code=error.code) from error

    def _with_metadata(self, own: Mapping[str, str]) -> Mapping[str, str]:
        together = {**(self.metadata or {}), **own}
        if len(together) > MOST_PAIRS:
            raise _wrong(
                METADATA,
                f"with the {len(own)} pairs of metadata there are {len(together)}; a job has at "
                f"most {MOST_PAIRS}.",
            )
        return together


def is_addressed(scope: Scope) -> bool:
    """Whether the caller is a client of the gateway: its headers are there, or `/v1` is not."""
    if not scope["path"].startswith("/v1/"):
        return True
    return any(name.startswith(_PREFIX) for name, _ in scope["headers"])


def choice(request: Request) -> Choice:
    """What the headers of a request that makes something choose.

    Raises:
        InvalidValue: one of them cannot be; `param` names it.
    """
    texts = {
        name: text
        for name in (PROVIDER_NAME, PROVIDER_MODEL, VERTEX_BUCKET, VERTEX_REGION)
        if (text := _text(request, name)) is not None
    }
    if PROVIDER_NAME in texts:
        with _naming(PROVIDER_NAME):
            services(request).routing.check(texts[PROVIDER_NAME])
    return Choice(
        metadata=_read_metadata(request),
        provider_name=texts.get(PROVIDER_NAME),
        provider_model=texts.get(PROVIDER_MODEL),
        file_purpose=_read_purpose(request),
        kept={name.removeprefix(_PREFIX.decode()): text for name, text in texts.items()},
    )


def resolved(model: str) -> Mapping[str, str]:
    """The header that names the model behind the one that was asked for."""
    # A name may hold any printable character, and a header only those of ASCII.
    return {RESOLVED_MODEL: quote(model, safe=_AS_THEY_ARE)}


def _read_metadata(request: Request) -> Mapping[str, str] | None:
    if (text := _value(request, METADATA)) is None:
        return None
    try:
        return _metadata.validate_json(text, strict=True)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = f"at {fault['loc'][0]!r}: " if fault["loc"] else ""
        raise _wrong(
            METADATA,
            'it must be a JSON object of strings, such as {"team": "paint"}; '
            f"{where}{fault['msg']}.",
        ) from error


def _read_purpose(request: Request) -> str | None:
    if (purpose := _value(request, FILE_PURPOSE)) is not None:
        with _naming(FILE_PURPOSE):
            check_purpose(purpose)
    return purpose


def _text(request: Request, name: str) -> str | None:
    value = _value(request, name)
    if value is not None and not (1 <= len(value) <= _LONGEST_TEXT and value.isprintable()):
        raise _wrong(name, f"it must have 1 to {_LONGEST_TEXT} printable characters.")
    return value


def _value(request: Request, name: str) -> str | None:
    values = request.headers.getlist(name)
    if not values:
        return None
    if len(values) > 1:
        raise _wrong(name, f"it came {len(values)} times; send it once.")
    try:
        # A header is read as single bytes; what is in it is text all the same.
        return values[0].encode("latin-1").decode()
    except UnicodeDecodeError as error:
        raise _wrong(name, "it is not UTF-8.") from error


@contextmanager
def _naming(header: str) -> Iterator[None]:
    try:
        yield
    except InvalidValue as error:
        raise _wrong(header, error.message, code=error.code) from error


def _wrong(header: str, why: str, *, code: str | None = None) -> InvalidValue:
    return InvalidValue(f"{header}: {why}", param=header, code=code)
