"""Taking the port, before anything else is opened."""

import errno
import socket


class PortTaken(Exception):
    """Another process listens there."""


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens on `host` and `port`; port 0 takes any that is free.

    Raises:
        PortTaken: another process listens there; the message names the switch that changes it.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(2048)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            raise PortTaken(
                f"Port {port} on {host} is taken by another program. "
                "Choose another with --port (or TUNERY_PORT)."
            ) from error
        raise
    listening.set_inheritable(False)
    return listening


def url(host: str, port: int) -> str:
    """How a client writes where a server listens: an IPv6 address stands in brackets (RFC 3986)."""
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
