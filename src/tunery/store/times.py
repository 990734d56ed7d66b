"""Times as the databases keep them: whole microseconds since 1970, in UTC."""

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_us(time: datetime) -> int:
    """An aware time in microseconds."""
    since = time - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def from_us(microseconds: int) -> datetime:
    """The time that `to_us` was given, in UTC."""
    return _EPOCH + timedelta(microseconds=microseconds)


def seconds_in_us(seconds: float) -> int:
    """So many seconds in microseconds."""
    return round(seconds * 1_000_000)


def to_us_or_none(time: datetime | None) -> int | None:
    """As `to_us`, where there may be no time."""
    return None if time is None else to_us(time)


def from_us_or_none(microseconds: int | None) -> datetime | None:
    """As `from_us`, where there may be no time."""
    return None if microseconds is None else _EPOCH + timedelta(microseconds=microseconds)
