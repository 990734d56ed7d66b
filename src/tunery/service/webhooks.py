"""Webhooks as callers ask for them: checked where they are asked for, their secrets sealed."""

import threading
from collections.abc import Callable
from dataclasses import replace

from tunery.core.destinations import destination
from tunery.core.errors import InvalidValue
from tunery.core.ports import Sealer
from tunery.core.webhooks import Webhook

HostCheck = Callable[[str, int], object]
"""Looks for a host and port; InvalidValue "host_not_allowed" where it lies where nobody may go."""

LONGEST_SECRET = 1024
MOST_LOOKUPS = 8
"""Each holds a thread, and all requests together have forty."""


def few_at_a_time(check: HostCheck, *, most: int = MOST_LOOKUPS) -> HostCheck:
    """`check` for `most` callers at a time; the hosts of others pass as if they were not found.

    To look for a host takes as long as whoever has its name lets it take.
    """
    places = threading.BoundedSemaphore(most)

    def checked(host: str, port: int) -> None:
        if places.acquire(blocking=False):
            try:
                check(host, port)
            finally:
                places.release()

    return checked


def webhook(
    url: str | None,
    secret: str | None,
    *,
    door: str,
    link_base: str,
    check_host: HostCheck,
) -> Webhook | None:
    """Whom to tell, the secret as it came; None where there is no `url`.

    A host that is not found now is let through: it is looked for again when there is something
    to tell.

    Raises:
        InvalidValue: the URL or the secret cannot be right; `param` says which.
    """
    if url is None:
        return None
    if secret is not None and len(secret) > LONGEST_SECRET:
        raise InvalidValue(
            f"the secret has {len(secret)} characters; at most {LONGEST_SECRET} are allowed",
            param="webhook_secret",
        )
    where = destination(url, param="webhook_url")
    try:
        check_host(where.host, where.port)
    except InvalidValue as refused:
        if refused.code == "host_not_allowed":
            raise InvalidValue(refused.message, param="webhook_url", code=refused.code) from refused
    return Webhook(door=door, url=url, secret=secret, link_base=link_base)


def sealed(asked: Webhook | None, sealer: Sealer, *, bound_to: str) -> Webhook | None:
    """`asked` as it is kept: its secret can be read only with the id of what is told of."""
    if asked is None or asked.secret is None:
        return asked
    return replace(asked, secret=sealer.seal(asked.secret, bound_to=bound_to))
