"""Signed links."""

from pathlib import Path

import pytest

from tests.store.values import MovableClock
from tunery.core.errors import NotFound
from tunery.sealing import HmacSigner
from tunery.service.links import VALID_S, Links

IMAGE = "3d2b6c1e-7a11-4a51-9a55-0c1d2e3f4a5b"


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
def links(tmp_path: Path, clock: MovableClock) -> Links:
    return Links(HmacSigner(tmp_path), clock)


def test_a_link_opens_its_image_for_ten_minutes(links: Links, clock: MovableClock) -> None:
    query = links.query(IMAGE)

    clock.advance(VALID_S - 1)
    links.check(IMAGE, **query)

    clock.advance(2)
    with pytest.raises(NotFound):
        links.check(IMAGE, **query)


def test_a_link_opens_no_other_image(links: Links) -> None:
    with pytest.raises(NotFound):
        links.check("another", **links.query(IMAGE))


@pytest.mark.parametrize("later", ["9999999999", "-1", "", "x", "1e99", " 1", "\ud800"])
def test_a_link_cannot_be_made_to_last(links: Links, later: str) -> None:
    query = links.query(IMAGE)

    with pytest.raises(NotFound):
        links.check(IMAGE, later, query["signature"])


@pytest.mark.parametrize("signature", ["", "0" * 64, "é", "\ud800"])
def test_a_link_that_was_not_signed_here_opens_nothing(links: Links, signature: str) -> None:
    with pytest.raises(NotFound):
        links.check(IMAGE, links.query(IMAGE)["expires"], signature)


def test_another_installation_signs_otherwise(tmp_path: Path, clock: MovableClock) -> None:
    for name in ("ours", "theirs"):
        (tmp_path / name).mkdir()
    ours = Links(HmacSigner(tmp_path / "ours"), clock)
    theirs = Links(HmacSigner(tmp_path / "theirs"), clock)

    with pytest.raises(NotFound):
        ours.check(IMAGE, **theirs.query(IMAGE))


def test_a_link_outlives_the_server_that_made_it(tmp_path: Path, clock: MovableClock) -> None:
    query = Links(HmacSigner(tmp_path), clock).query(IMAGE)

    Links(HmacSigner(tmp_path), clock).check(IMAGE, **query)
