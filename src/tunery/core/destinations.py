"""Addresses in the web that this server is told to connect to, taken apart."""

import re
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from tunery.core.errors import InvalidValue

LONGEST_URL = 2083
"""BFL's limit (API reference, "Finetune")."""

_PORTS = {"http": 80, "https": 443}
# No spaces and no letters of other alphabets; no backslash, which some read as a slash.
_URL = re.compile(r"[!-\[\]-~]+")
_NAME = re.compile(r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_-]+)*")


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
        host, port = (parts.hostname or "").removesuffix("."), parts.port
    except ValueError as reason:
        raise _malformed(param, str(reason)) from reason
    if parts.scheme not in _PORTS:
        raise _malformed(param, "it must begin with http:// or https://")
    if "@" in parts.netloc:
        raise _malformed(param, "it has a user's name or password in it; leave them out")
    if not _NAME.fullmatch(host) and not _is_address(host):
        raise _malformed(param, f"{host!r} is not the name of a host")
    if port == 0:
        raise _malformed(param, "it leads to port 0; a port is from 1 to 65535")
    return Destination(
        is_tls=parts.scheme == "https",
        host=host,
        port=port or _PORTS[parts.scheme],
        target=(parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
    )


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _malformed(param: str, reason: str) -> InvalidValue:
    """The error; the URL is not in it, as there may be a secret in that."""
    return InvalidValue(f"{param} cannot be used: {reason}", param=param)
