"""Where this server may connect to on somebody's behalf.

Whoever names a host names it from outside; the server would reach it from inside of the operator's
network. So only public addresses may be connected to, but for what the operator lists.
"""

import re
import socket
from collections.abc import Callable, Sequence
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

from tunery.core.errors import InvalidValue

Address = IPv4Address | IPv6Address
Lookup = Callable[[str, int], Sequence[str]]
"""The addresses of a host; OSError where it has none."""

_NOT_PUBLIC_V4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
"""Special purposes, as IANA's registry has them (RFC 6890), multicast and what is reserved."""
_PUBLIC_V6 = IPv6Network("2000::/3")
_NOT_PUBLIC_V6 = tuple(
    IPv6Network(text)
    # Teredo and other protocol assignments; documentation, twice.
    for text in ("2001::/23", "2001:db8::/32", "3fff::/20")
)
_NAT64 = IPv6Network("64:ff9b::/96")
_HOST = re.compile(r"[^\W_](?:[\w-]*\w)?(?:\.[\w-]+)*\.?")
_AS_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)\.?")
_LONGEST_HOST = 253


def system_lookup(host: str, port: int) -> Sequence[str]:
    """The addresses that this machine finds for `host`."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


class Addresses:
    """Turns hosts into addresses that may be connected to."""

    def __init__(self, allow_hosts: Sequence[str], lookup: Lookup = system_lookup) -> None:
        """`allow_hosts` are names, addresses, networks (CIDR) and folders of sockets.

        Raises:
            InvalidValue: one of them is none of these.
        """
        self._lookup = lookup
        listed = [(text, _network(text)) for text in allow_hosts]
        self._networks = [network for _, network in listed if network is not None]
        self._names = {_plain(text) for text, network in listed if network is None}

    def resolve(self, host: str, port: int) -> list[Address]:
        """The addresses of `host`, all of which may be connected to.

        Connect to these and to nothing else: asked again, the name may have others.

        Raises:
            InvalidValue: "host_not_allowed" where one of them is neither public nor listed,
                "unknown_host" where there is none.
        """
        name = _checked(host)
        found = list(dict.fromkeys(self._addresses(name, port)))
        if not found:
            raise _unknown(host)
        if name not in self._names and not all(map(self._may_be_reached, found)):
            raise InvalidValue(
                f"{host!r} is not on a public address. The operator of this server can list it in "
                "TUNERY_ALLOW_HOSTS.",
                code="host_not_allowed",
            )
        return found

    def lists(self, name: str) -> bool:
        """Whether the operator lists just that: a host, or a folder of sockets."""
        return _plain(name) in self._names

    def _addresses(self, name: str, port: int) -> list[Address]:
        literal = _literal(name)
        if literal is not None:
            return [literal]
        try:
            found = self._lookup(name, port)
            return [_without_disguise(ip_address(text)) for text in found]
        except (OSError, UnicodeError, ValueError):
            raise _unknown(name) from None

    def _may_be_reached(self, address: Address) -> bool:
        inner = _embedded(address) or address
        listed = any(
            each.version == network.version and each in network
            for each in (address, inner)
            for network in self._networks
        )
        return listed or _is_public(inner)


def _checked(host: str) -> str:
    """`host` as it is looked up: no brackets, lower case, no dot at its end."""
    name = _plain(host)
    is_literal = _literal(name) is not None
    if not is_literal and (len(name) > _LONGEST_HOST or not _HOST.fullmatch(name)):
        raise InvalidValue(f"{host!r} is not the name of a host.", code="unknown_host")
    if not is_literal and _AS_NUMBER.fullmatch(name):
        # Resolvers read 2130706433, 0x7f.1 and 0177.0.0.1 as addresses, each in its own way.
        raise InvalidValue(
            f"{host!r} is no host; write an address as four decimal numbers without zeros before "
            "them.",
            code="host_not_allowed",
        )
    return name


def _plain(name: str) -> str:
    if name.startswith("/"):
        return name.rstrip("/") or "/"
    inner = name[1:-1] if name.startswith("[") and name.endswith("]") else name
    return inner.lower().removesuffix(".")


def _literal(name: str) -> Address | None:
    try:
        return _without_disguise(ip_address(name))
    except ValueError:
        return None


def _without_disguise(address: Address) -> Address:
    """The IPv4 address that a mapped IPv6 one is only another form of."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _embedded(address: Address) -> IPv4Address | None:
    """The IPv4 address that a gateway would send on to, by 6to4 or NAT64."""
    if isinstance(address, IPv4Address):
        return None
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.sixtofour


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_V4)
    is_special = any(address in network for network in _NOT_PUBLIC_V6)
    # With a zone (`%eth0`) an address is meant on one link.
    return address in _PUBLIC_V6 and not is_special and address.scope_id is None


def _network(text: str) -> IPv4Network | IPv6Network | None:
    """An entry of the operator's as a network; None where it is a name or a folder."""
    plain = _plain(text)
    try:
        return ip_network(plain)
    except ValueError as error:
        if plain.startswith("/") or (_HOST.fullmatch(plain) and not _AS_NUMBER.fullmatch(plain)):
            return None
        raise InvalidValue(
            f"allow_hosts (TUNERY_ALLOW_HOSTS) has {text!r} ({error}); it may have names of hosts, "
            "addresses, networks such as 10.0.0.0/8, and folders of sockets.",
            param="allow_hosts",
        ) from None


def _unknown(host: str) -> InvalidValue:
    return InvalidValue(f"There is no host {host!r}.", code="unknown_host")
