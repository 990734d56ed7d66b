from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunery.core.errors import InvalidValue
from tunery.dialects.form import FormParser

KIND = "multipart/form-data; boundary=xyz"
SLY = b"one\r\n--xy\r\n-\r--xyy"
"""Nearly the boundary, again and again."""
BODY = b"".join(
    f"--xyz\r\ncontent-Disposition: form-data; {head}\r\nX-Other: 1\r\n\r\n".encode()
    + data
    + b"\r\n"
    for head, data in (
        ('name="purpose"', b"fine-tune"),
        ('name="file"; filename="a b.jsonl"', SLY),
        ('name="expires_after[anchor]"', b"created_at"),
    )
)
WHOLE = BODY + b"--xyz--\r\n"


def parsed(chunks: list[bytes]) -> tuple[dict[str, str], str | None, bytes]:
    form = FormParser(KIND, "file")
    data = b"".join(bytes(piece) for chunk in chunks for piece in form.feed(chunk))
    form.finish()
    return form.fields, form.filename, data


@given(cuts=st.lists(st.integers(0, len(WHOLE)), max_size=30))
def test_where_the_body_is_cut_changes_nothing(cuts: list[int]) -> None:
    places = sorted({0, len(WHOLE), *cuts})
    assert parsed([WHOLE[a:b] for a, b in pairwise(places)]) == (
        {"purpose": "fine-tune", "expires_after[anchor]": "created_at"},
        "a b.jsonl",
        SLY,
    )


@given(length=st.integers(0, len(BODY) + 2))
def test_a_body_that_is_cut_short_is_refused(length: int) -> None:
    with pytest.raises(InvalidValue, match=r"stops before its last boundary"):
        parsed([WHOLE[:length]])


@pytest.mark.parametrize(
    ("head", "filename"),
    [
        ('form-data; name="file"; filename="größe.jsonl"', "größe.jsonl"),
        ('form-data; name="file"; filename="say \\"hi\\".jsonl"', 'say "hi".jsonl'),
        ('form-data; name="file"; filename=""', ""),
        ('form-data; name="file"', None),
        ("form-data; name=file; filename=a.jsonl", "a.jsonl"),
    ],
)
def test_the_files_name_is_read(head: str, filename: str | None) -> None:
    body = f"--xyz\r\nContent-Disposition: {head}\r\n\r\nx\r\n--xyz--\r\n".encode()
    assert parsed([body])[1:] == (filename, b"x")


def test_a_flood_of_headers_is_refused() -> None:
    flood = b"--xyz\r\n" + b"".join(b"X-%d: 1\r\n" % n for n in range(100_000))
    with pytest.raises(InvalidValue, match="Maximum header count"):
        parsed([flood])
    with pytest.raises(InvalidValue, match="Maximum header size"):
        parsed([b"--xyz\r\nX: " + b"a" * 100_000])
