"""Addresses in the web that this server is told to connect to, taken apart."""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from tunery.core.errors import InvalidValue

LONGEST_URL = 2083
"""BFL's limit (API reference, "Finetune")."""

_PORTS = {"http": 80, "https": 443}
_LAST_PORT = 65535
# No spaces and no letters of other alphabets; no backslash, which some read as a slash.
_URL = re.compile(r"[!-\[\]-~]+")
_AUTHORITY = re.compile(
    r"""(?:\[(?P<address>[0-9a-f:.]+)\]|(?P<name>[a-z0-9_][a-z0-9_-]*(?:\.[a-z0-9_-]+)*)\.?)
    (?::(?P<port>[0-9]{0,5}))?""",
    re.VERBOSE | re.IGNORECASE,
)


@dataclass(frozen=True, kw_only=True)
class Destination:
    """Where an `http` or `https` URL leads."""

    is_tls: bool
    host: str
    """A name, or an address without brackets."""
    port: int
    target: str
    """Path and query."""

    @property
    def authority(self) -> str:
        """The host, and the port unless it goes without saying: what a `Host` header holds."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        is_usual = self.port == _PORTS["https" if self.is_tls else "http"]
        return host if is_usual else f"{host}:{self.port}"


def destination(url: str, *, param: str) -> Destination:
    """Where `url` leads; whether it may be connected to is another question.

    Raises:
        InvalidValue: it is no URL with a host, or a name and a password are in it; with `param`.
    """
    # `urlsplit` removes line breaks and tabs, so that they would pass unseen.
    if not 1 <= len(url) <= LONGEST_URL or not _URL.fullmatch(url):
        raise _malformed(
            param, f"it must have 1 to {LONGEST_URL} characters, all of them printable ASCII"
        )
    try:
        parts = urlsplit(url)
    except ValueError as reason:
        raise _malformed(param, str(reason)) from reason
    if parts.scheme not in _PORTS:
        raise _malformed(param, "it must begin with http:// or https://")
    if "@" in parts.netloc:
        raise _malformed(param, "it has a user's name or password in it; leave them out")
    if (named := _AUTHORITY.fullmatch(parts.netloc)) is None:
        raise _malformed(param, "it must name a host, and a port if any")
    port = int(named["port"] or _PORTS[parts.scheme])
    if not 1 <= port <= _LAST_PORT:
        raise _malformed(param, f"it leads to port {port}; a port is from 1 to {_LAST_PORT}")
    return Destination(
        is_tls=parts.scheme == "https",
        host=(named["address"] or named["name"]).lower(),
        port=port,
        target=(parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
    )


def _malformed(param: str, reason: str) -> InvalidValue:
    """The error; the URL is not in it, as there may be a secret in that."""
    return InvalidValue(f"{param} cannot be used: {reason}", param=param)
