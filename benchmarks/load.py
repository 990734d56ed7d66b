"""A load generator that costs little: keep-alive connections, each with one request in flight."""

import asyncio
import time
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Load:
    """What one round measured."""

    requests_per_second: float
    p99_ms: float


def measure(port: int, path: str, *, key: str, seconds: float, connections: int = 16) -> Load:
    """Ask for `path` over and over for `seconds`.

    Raises:
        RuntimeError: an answer was not a 200.
    """
    return asyncio.run(_measure(port, path, key, seconds, connections))


async def _measure(port: int, path: str, key: str, seconds: float, connections: int) -> Load:
    request = (
        f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {key}\r\n"
        "accept: application/json\r\n\r\n"
    ).encode()
    end = time.perf_counter() + seconds
    began = time.perf_counter()
    latencies = await asyncio.gather(*(_one(port, request, end) for _ in range(connections)))
    took = time.perf_counter() - began
    every = sorted(latency for mine in latencies for latency in mine)
    return Load(requests_per_second=len(every) / took, p99_ms=every[int(len(every) * 0.99)] * 1000)


async def _one(port: int, request: bytes, end: float) -> list[float]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    latencies = []
    while (asked := time.perf_counter()) < end:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(head.decode())
        await reader.readexactly(_content_length(head))
        latencies.append(time.perf_counter() - asked)
    writer.close()
    await writer.wait_closed()
    return latencies


def _content_length(head: bytes) -> int:
    at = head.lower().index(b"content-length:") + len(b"content-length:")
    return int(head[at : head.index(b"\r\n", at)])
