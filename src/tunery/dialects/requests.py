"""What requests at every door hold: a job's id, and a key by which a create call is known."""

import hashlib
import re
from collections.abc import Mapping

import msgspec
from pydantic import BaseModel

from tunery.core.errors import InvalidValue, NotFound
from tunery.core.ports import Idempotency

_LONGEST_IDEMPOTENCY_KEY = 255
_JOB_ID = re.compile(r"(?P<prefix>ftjob-)?[0-9a-f]{24}")


def idempotency(
    key: str | None, body: BaseModel, *, also: Mapping[str, str] | None = None
) -> Idempotency | None:
    """What makes a repeated create call known: its key, and a digest of what it asks for.

    `also` is what it asks for elsewhere than in the body.

    Raises:
        InvalidValue: the key is empty or too long.
    """
    if key is None:
        return None
    if not 1 <= len(key) <= _LONGEST_IDEMPOTENCY_KEY:
        raise InvalidValue(
            f"Idempotency-Key has {len(key)} characters; it must have 1 to "
            f"{_LONGEST_IDEMPOTENCY_KEY}",
            param="Idempotency-Key",
        )
    # A field whose validator makes another value of what came is no reason for a warning.
    asked = body.model_dump(mode="json", warnings="none")
    canonical = msgspec.json.encode([asked, also] if also else asked, order="deterministic")
    return Idempotency(key=key, request_hash=hashlib.sha256(canonical).digest())


def read_job_id(given: str) -> str:
    """The job's id; some doors write its 24 digits alone, and every door reads both.

    Raises:
        NotFound: no job can have this id.
    """
    if (found := _JOB_ID.fullmatch(given)) is None:
        raise NotFound("job", given)
    return given if found["prefix"] else f"ftjob-{given}"
