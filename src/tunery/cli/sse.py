"""Server-sent events, as the HTML standard has them (section 9.2.6)."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Message:
    """One message of a stream."""

    id: str | None
    event: str
    data: str


def messages(lines: Iterable[str]) -> Iterator[Message]:
    """The messages in `lines`; comments and what is cut off at the end are passed over."""
    last_id: str | None = None
    event, data = "message", list[str]()
    for line in lines:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                yield Message(id=last_id, event=event, data="\n".join(data))
            event, data = "message", []
        elif name == "data":
            data.append(value)
        elif name == "event":
            event = value
        elif name == "id":
            last_id = value
