"""Keys over HTTP: make, see and revoke those of one's project."""

from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from tunery.core.access import ApiKey, IdentityType
from tunery.dialects.answers import answer
from tunery.dialects.openai.answers import ListPage
from tunery.dialects.openai.errors import OpenAIRoute
from tunery.dialects.route import caller, services
from tunery.service.keys import LONGEST_NAME

router = APIRouter(prefix="/tunery/v1/keys", tags=["Keys"], route_class=OpenAIRoute)


class CreateKey(BaseModel):
    """The body of a create call."""

    name: Annotated[str, Field(min_length=1, max_length=LONGEST_NAME)]
    expires_at: Annotated[int, Field(ge=0, lt=2**40)] | None = None
    service_account: Annotated[str, Field(min_length=1, max_length=LONGEST_NAME)] | None = None
    """For whom the key is to speak, by name; left out, for who asks."""


class KeyOwner(msgspec.Struct, frozen=True, kw_only=True):
    """Whom a key speaks for."""

    type: IdentityType
    id: str
    name: str | None
    """None where it is a user."""


class KeyObject(msgspec.Struct, frozen=True, kw_only=True):
    """A key; never the secret, which only the answer that makes it holds."""

    id: str
    object: Literal["key"] = "key"
    name: str
    hint: str
    owner: KeyOwner
    created_at: int
    expires_at: int | None
    revoked_at: int | None


class NewKeyObject(KeyObject, frozen=True, kw_only=True):
    """A key with its secret, this once."""

    key: str


@router.post("")
def create(request: Request, body: CreateKey) -> Response:
    """Make a key for one's project: one's own, or a service account's."""
    until = None if body.expires_at is None else datetime.fromtimestamp(body.expires_at, UTC)
    made = services(request).keys.create(
        caller(request), name=body.name, expires_at=until, service_account=body.service_account
    )
    fields = msgspec.structs.asdict(_to_wire(made.key))
    return answer(NewKeyObject(**fields, key=made.secret))


@router.get("")
def list_keys(request: Request) -> Response:
    """List the project's keys, newest first."""
    keys = services(request).keys.list(caller(request))
    return answer(ListPage(data=[_to_wire(key) for key in keys], has_more=False))


@router.delete("/{key_id}")
def revoke(request: Request, key_id: str) -> Response:
    """End a key at once, for good."""
    return answer(_to_wire(services(request).keys.revoke(caller(request), key_id)))


def _to_wire(key: ApiKey) -> KeyObject:
    return KeyObject(
        id=key.id,
        name=key.name,
        hint=key.hint,
        owner=KeyOwner(type=key.identity_type, id=key.user_id, name=key.service_account),
        created_at=int(key.created_at.timestamp()),
        expires_at=_seconds(key.expires_at),
        revoked_at=_seconds(key.revoked_at),
    )


def _seconds(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp())
