"""What every object of Scale's API begins with, and what deleting answers."""

from datetime import datetime

import msgspec

from tunery.core.access import IdentityType


class Entity(msgspec.Struct, frozen=True, kw_only=True):
    """Whose it is, who made it, and when."""

    id: str
    account_id: str
    created_at: datetime
    created_by_user_id: str
    created_by_identity_type: IdentityType


class Deleted(msgspec.Struct, frozen=True, kw_only=True):
    """What a delete answers."""

    count: int = 1
    success: bool = True
