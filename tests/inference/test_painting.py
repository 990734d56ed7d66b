"""The child that draws, seen from the server: it answers, it may die, and it can be stopped."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.inference.tiny_image import TINY_IMAGE, asked, pixels, write_image_adapter
from tunery.core.errors import InvalidValue, Unavailable, Unsupported
from tunery.core.image_generations import Painted, PaintRequest
from tunery.inference.painting import NOT_INSTALLED, ChildPainter


@pytest.fixture(scope="module")
def painter() -> Iterator[ChildPainter]:
    made = ChildPainter(threads=1)
    yield made
    made.close()


def painted(painter: ChildPainter, request: PaintRequest) -> Painted:
    *_, last = painter.paint(request)
    assert isinstance(last, Painted)
    return last


def long_work() -> PaintRequest:
    """What takes seconds."""
    return asked(steps=2_000)


def children() -> list[psutil.Process]:
    found = psutil.Process().children(recursive=True)
    return [child for child in found if "tunery.inference.images" in " ".join(child.cmdline())]


def test_an_image_comes_through_the_pipe_after_how_far_it_is(painter: ChildPainter) -> None:
    *shares, last = painter.paint(asked(steps=60))
    assert isinstance(last, Painted)
    assert pixels(last.image).shape == (64, 64, 3)
    assert shares[-1] == 1.0
    numbers = [share for share in shares if isinstance(share, float)]
    assert numbers == sorted(set(numbers))
    assert len(numbers) == len(shares)
    assert painted(painter, asked(steps=60)) == last


def test_the_adapter_is_used(painter: ChildPainter, tmp_path: Path) -> None:
    adapter = write_image_adapter(tmp_path)
    base = painted(painter, asked())
    assert painted(painter, asked(adapter)) != base
    assert painted(painter, asked(adapter, strength=0.0)) == base


def test_many_threads_share_one_child(painter: ChildPainter) -> None:
    images: dict[int, bytes] = {}

    def ask(number: int) -> None:
        images[number] = painted(painter, asked(seed=number % 2)).image

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({images[number] for number in range(0, 6, 2)}) == 1
    assert len(set(images.values())) == 2
    assert len(children()) == 1


def test_a_refusal_keeps_its_kind_and_its_parameter(painter: ChildPainter) -> None:
    nowhere = PaintRequest(location="nowhere", adapter=None, settings=asked().settings)
    with pytest.raises(InvalidValue, match="neither a folder") as refused:
        painted(painter, nowhere)
    assert refused.value.param == "model"
    text = str(Path(TINY_IMAGE).with_name("tiny-chat"))
    with pytest.raises(Unsupported, match="FluxPipeline"):
        painted(painter, PaintRequest(location=text, adapter=None, settings=asked().settings))
    with pytest.raises(InvalidValue, match="may have been deleted"):
        painted(painter, asked("/no/such/adapter"))


def test_closing_the_iterator_stops_the_drawing(painter: ChildPainter) -> None:
    images = painter.paint(long_work())
    share = next(images)
    images.close()
    assert isinstance(share, float)
    assert share < 0.5
    before, began = children(), time.monotonic()
    assert painted(painter, asked(steps=1))
    # The same child, and free: the whole of the long work takes many times as long.
    assert children() == before
    assert time.monotonic() - began < 3


def test_a_child_that_died_is_started_again(painter: ChildPainter) -> None:
    images = painter.paint(long_work())
    next(images)
    [child] = children()
    child.kill()
    with pytest.raises(Unavailable, match=r"Drawing the image failed\..*killed by signal 9"):
        list(images)
    assert painted(painter, asked(steps=1))


def test_closing_tells_whoever_waits_and_leaves_no_process(painter: ChildPainter) -> None:
    images = painter.paint(long_work())
    next(images)
    painter.close()
    assert children() == []
    with pytest.raises(Unavailable):
        list(images)
    with pytest.raises(Unavailable, match="shutting down"):
        list(painter.paint(asked()))


def test_the_child_ends_when_its_input_closes() -> None:
    child = subprocess.Popen(
        [sys.executable, "-m", "tunery.inference.images"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    child.communicate(timeout=20)
    assert child.returncode == 0


@pytest.mark.parametrize("absent", ["torch", "diffusers"])
def test_without_what_draws_the_way_to_install_it_is_said(
    absent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == absent else True)
    with pytest.raises(Unavailable, match="pip install") as refused:
        list(ChildPainter().paint(asked()))
    assert refused.value.message == NOT_INSTALLED


def test_the_server_side_never_loads_torch_or_pillow() -> None:
    program = (
        "import sys, tunery.inference.painting; sys.exit(bool({'torch', 'PIL'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
