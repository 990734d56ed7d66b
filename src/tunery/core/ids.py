"""Ids: a prefix that says what the thing is, and 24 hexadecimal digits."""

import secrets


def new_id(prefix: str) -> str:
    """`prefix` and 96 random bits as 24 lower-case hexadecimal digits."""
    return prefix + secrets.token_hex(12)
