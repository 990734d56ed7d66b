"""Iterators that can be closed."""

import collections.abc
from typing import TypeVar

Value = TypeVar("Value")
Closable = collections.abc.Generator[Value, None, None]
"""An iterator with `close`. Named so because a `Generator` here is something else."""
