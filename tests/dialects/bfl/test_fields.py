import tracemalloc

import pytest

from tunery.core.errors import InvalidValue
from tunery.dialects.bfl.fields import decoded


@pytest.mark.parametrize("space", [" ", "\n", "\r\n", "\t"])
def test_base64_may_be_broken_into_lines(space: str) -> None:
    assert decoded(space.join(["aGVs", "bG8", "="]), param="image") == b"hello"


def test_base64_in_small_pieces_takes_no_more_memory_than_it_is_long() -> None:
    text = "AA " * 400_000
    tracemalloc.start()
    try:
        data = decoded(text, param="image")
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert data == bytes(600_000)
    assert most < 3 * len(text)


@pytest.mark.parametrize("text", ["@", "A", "é", "\ud800", "AAAA\0", "AAAA====A"])
def test_what_is_no_base64_is_refused_with_its_parameter(text: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        decoded(text, param="mask")
    assert caught.value.param == "mask"
    assert str(caught.value).startswith("mask is not base64: ")
