"""Webhooks as callers ask for them: checked where they are asked for, their secrets sealed."""

from collections.abc import Callable
from dataclasses import replace
from urllib.parse import SplitResult, urlsplit

from tunery.core.errors import InvalidValue
from tunery.core.ports import Sealer
from tunery.core.webhooks import Webhook

HostCheck = Callable[[str, int], object]
"""Looks for a host and port; InvalidValue "host_not_allowed" where it lies where nobody may go."""

LONGEST_URL = 2083
"""BFL's limit (API reference, "Finetune")."""
LONGEST_SECRET = 1024
_PORTS = {"http": 80, "https": 443}


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
    parts, port = _parts(url)
    assert parts.hostname is not None
    try:
        check_host(parts.hostname, port)
    except InvalidValue as refused:
        if refused.code == "host_not_allowed":
            raise InvalidValue(refused.message, param="webhook_url", code=refused.code) from refused
    return Webhook(door=door, url=url, secret=secret, link_base=link_base)


def sealed(asked: Webhook | None, sealer: Sealer, *, bound_to: str) -> Webhook | None:
    """`asked` as it is kept: its secret can be read only with the id of what is told of."""
    if asked is None or asked.secret is None:
        return asked
    return replace(asked, secret=sealer.seal(asked.secret, bound_to=bound_to))


def _parts(url: str) -> tuple[SplitResult, int]:
    """The URL taken apart, and the port that it leads to."""
    # `urlsplit` removes line breaks and tabs, so that they would pass unseen.
    if not 1 <= len(url) <= LONGEST_URL or not url.isprintable() or " " in url:
        raise _malformed(url, f"it must have 1 to {LONGEST_URL} characters, none of them a space")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as reason:
        raise _malformed(url, str(reason)) from reason
    if parts.scheme not in _PORTS or not parts.hostname:
        raise _malformed(url, "it must begin with http:// or https:// and the name of a host")
    if parts.username is not None or parts.password is not None:
        # Not shown: what stands there is a secret.
        raise InvalidValue(
            "webhook_url has a user's name or password in it; leave them out, and send a "
            "webhook_secret, with which each call is signed",
            param="webhook_url",
        )
    if port == 0:
        raise _malformed(url, "it leads to port 0; a port is from 1 to 65535")
    return parts, port or _PORTS[parts.scheme]


def _malformed(url: str, reason: str) -> InvalidValue:
    return InvalidValue(f"webhook_url is {url[:80]!r}: {reason}", param="webhook_url")
