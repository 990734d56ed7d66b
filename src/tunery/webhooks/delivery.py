"""One POST to a receiver that nobody here knows.

It is h11 over a socket of ours, as no HTTP client here connects to an address that was looked at
before, and ends in time however slowly a receiver goes on. A redirect is an answer like any other,
which nobody follows.
"""

import socket
import ssl
import time
from collections.abc import Mapping, Sequence
from contextlib import closing

import h11

from tunery.addresses import Address
from tunery.core.destinations import Destination

TIMEOUT_S = 10.0
"""From the first packet to the status."""

_MOST_ADDRESSES = 4
_MOST_BYTES = 64 * 1024
"""Of an answer, of which the status is all that counts."""
_PIECE_BYTES = 16 * 1024


class Undelivered(Exception):
    """The receiver was not to be reached, or did not answer."""


def post(
    destination: Destination,
    addresses: Sequence[Address],
    headers: Mapping[str, str],
    body: bytes,
    *,
    tls: ssl.SSLContext,
    timeout_s: float = TIMEOUT_S,
) -> int:
    """The status that the receiver at one of `addresses` answers with.

    Raises:
        Undelivered: it answers with none in time; the message says nothing of what was sent.
    """
    until = time.monotonic() + timeout_s
    try:
        with closing(_connected(destination, addresses, tls, until)) as connection:
            connection.settimeout(_left_s(until))
            exchange = h11.Connection(h11.CLIENT)
            connection.sendall(_request(exchange, destination, headers, body))
            return _status(exchange, connection, until)
    except TimeoutError:
        raise Undelivered(f"no answer within {timeout_s:g} s") from None
    except (OSError, h11.ProtocolError) as error:
        raise Undelivered(f"{type(error).__name__}: {error}") from None


def _connected(
    destination: Destination, addresses: Sequence[Address], tls: ssl.SSLContext, until: float
) -> socket.socket:
    """A connection to the first address that takes one."""
    tried = addresses[:_MOST_ADDRESSES]
    for n_left, address in zip(range(len(tried), 0, -1), tried, strict=True):
        where, timeout_s = (str(address), destination.port), _left_s(until) / n_left
        try:
            connection = socket.create_connection(where, timeout=timeout_s)
        except OSError:
            if n_left == 1:
                raise
        else:
            return _secured(connection, destination, tls, until)
    raise OSError("there is no address to connect to")


def _secured(
    connection: socket.socket, destination: Destination, tls: ssl.SSLContext, until: float
) -> socket.socket:
    """With TLS, the receiver must show that it is the host that was named."""
    if not destination.is_tls:
        return connection
    try:
        connection.settimeout(_left_s(until))
        return tls.wrap_socket(connection, server_hostname=destination.host)
    except BaseException:
        connection.close()
        raise


def _request(
    exchange: h11.Connection, destination: Destination, headers: Mapping[str, str], body: bytes
) -> bytes:
    head = h11.Request(
        method="POST",
        target=destination.target,
        headers=[
            ("Host", destination.authority),
            ("Connection", "close"),
            ("Content-Length", str(len(body))),
            *headers.items(),
        ],
    )
    parts = [exchange.send(event) for event in (head, h11.Data(data=body), h11.EndOfMessage())]
    return b"".join(part for part in parts if part is not None)


def _status(exchange: h11.Connection, connection: socket.socket, until: float) -> int:
    n_bytes = 0
    while n_bytes < _MOST_BYTES:
        event = exchange.next_event()
        if isinstance(event, h11.Response):
            return event.status_code
        if isinstance(event, h11.ConnectionClosed):
            raise Undelivered("the receiver hung up")
        if event is h11.NEED_DATA:
            connection.settimeout(_left_s(until))
            piece = connection.recv(_PIECE_BYTES)
            n_bytes += len(piece)
            exchange.receive_data(piece)
    raise Undelivered(f"no status in {_MOST_BYTES} bytes of answer")


def _left_s(until: float) -> float:
    """How long it may still take.

    Raises:
        TimeoutError: it took too long.
    """
    left_s = until - time.monotonic()
    if left_s <= 0:
        raise TimeoutError
    return left_s
