"""What the lists take from the query: a cursor, a limit, and pairs of metadata."""

import re
from collections.abc import Mapping

from starlette.datastructures import QueryParams

from tunery.core.errors import InvalidValue
from tunery.core.pages import PageRequest

MOST_PER_PAGE = 1000
MOST_PAIRS = 16
"""Of metadata, on one job."""
_PAIR = re.compile(r"metadata\[(?P<key>.*)\]", re.DOTALL)


def page_request(after: str | None, limit: int) -> PageRequest:
    """The page asked for; a limit above the most that a page holds gives that many."""
    if limit < 0:
        raise InvalidValue(f"limit is {limit}; it must be from 0 to {MOST_PER_PAGE}", param="limit")
    if after is not None and "\0" in after:
        raise InvalidValue("after must be the id of the last item seen", param="after")
    return PageRequest(limit=min(limit, MOST_PER_PAGE), after=after)


def metadata_filter(query: QueryParams) -> tuple[Mapping[str, str] | None, bool]:
    """The pairs that a job must have (`metadata[k]=v`), and whether it must have none (`=null`)."""
    pairs = {
        found["key"]: value
        for name, value in query.multi_items()
        if (found := _PAIR.fullmatch(name)) is not None
    }
    if len(pairs) > MOST_PAIRS:
        raise InvalidValue(
            f"metadata has {len(pairs)} pairs; a job has at most {MOST_PAIRS}", param="metadata"
        )
    plain = query.get("metadata")
    if plain is None:
        return pairs or None, False
    if plain != "null" or pairs:
        raise InvalidValue(
            f"metadata is {plain!r}; write metadata[key]=value for each pair, or metadata=null "
            "alone for jobs without metadata",
            param="metadata",
        )
    return None, True
