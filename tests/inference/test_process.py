"""The child process seen from the server: it answers, it may die, and it ends with its parent."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.inference.tiny import CONTEXT
from tunery.bases.catalog import BUILT_IN
from tunery.core.errors import InvalidValue, Unavailable
from tunery.core.generation import GenerationRequest
from tunery.inference.process import NOT_INSTALLED, ChildGenerator
from tunery.modeling.load import load_tokenizer


@pytest.fixture(scope="module")
def generator() -> Iterator[ChildGenerator]:
    made = ChildGenerator(threads=1)
    yield made
    made.close()


def asked(
    model: Path,
    *,
    prompt: str = "Hello there",
) -> GenerationRequest:
    return GenerationRequest(location=str(model), prompt=prompt, max_tokens=8, temperature=0.0)


def long_work(model: Path) -> GenerationRequest:
    """What takes seconds."""
    return GenerationRequest(location=str(model), prompt="Hello", n=100, logprobs=20)


def children() -> list[psutil.Process]:
    found = psutil.Process().children(recursive=True)
    return [child for child in found if "tunery.inference" in " ".join(child.cmdline())]


def test_text_comes_through_the_pipe(generator: ChildGenerator, model: Path) -> None:
    pieces = list(generator.generate(asked(model)))
    assert pieces[-1].usage is not None
    assert pieces[-1].finish_reason in {"length", "stop"}
    assert list(generator.generate(asked(model))) == pieces


def test_many_threads_share_one_child(generator: ChildGenerator, model: Path) -> None:
    texts: dict[int, str] = {}

    def ask(number: int) -> None:
        pieces = generator.generate(asked(model, prompt=f"Count {number % 2}"))
        texts[number] = "".join(piece.text for piece in pieces)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(texts) == 8
    assert len({texts[number] for number in range(0, 8, 2)}) == 1
    assert len(children()) == 1


def test_a_refusal_keeps_its_words_and_its_code(generator: ChildGenerator, model: Path) -> None:
    with pytest.raises(InvalidValue) as refused:
        list(generator.generate(asked(model, prompt="word " * CONTEXT)))
    assert refused.value.code == "context_length_exceeded"
    with pytest.raises(InvalidValue, match="neither a folder"):
        list(generator.generate(asked(Path("nowhere"))))


def test_texts_are_measured_by_the_models_own_tokenizer(generator: ChildGenerator) -> None:
    tiny_chat = str(BUILT_IN / "tiny-chat")
    texts = ["", "SELECT name FROM customers", "one\n\N{SNOWMAN}", "x" * 5_000]
    tokenizer = load_tokenizer(Path(tiny_chat))
    measured = generator.measure(tiny_chat, texts)
    assert measured.context == 2048
    assert list(measured.n_tokens) == [
        len(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts
    ]
    assert generator.measure(tiny_chat, []).n_tokens == ()


def test_measuring_for_a_model_that_is_not_there_is_refused(generator: ChildGenerator) -> None:
    with pytest.raises(InvalidValue, match="neither a folder"):
        generator.measure("nowhere", ["text"])


def test_a_child_that_dies_fails_whoever_waits_for_a_measure() -> None:
    made = ChildGenerator(module="no.such.module")
    with pytest.raises(Unavailable, match="Counting tokens failed"):
        made.measure("any", ["text"])
    made.close()


def test_closing_the_iterator_stops_the_work(generator: ChildGenerator, model: Path) -> None:
    pieces = generator.generate(long_work(model))
    next(pieces)
    pieces.close()
    assert list(generator.generate(asked(model)))


def test_a_child_that_died_is_started_again(generator: ChildGenerator, model: Path) -> None:
    list(generator.generate(asked(model)))
    pieces = generator.generate(long_work(model))
    next(pieces)
    [child] = children()
    child.kill()
    with pytest.raises(Unavailable, match="killed by signal 9"):
        list(pieces)
    assert list(generator.generate(asked(model)))


def test_the_child_ends_when_its_input_closes() -> None:
    child = subprocess.Popen(
        [sys.executable, "-m", "tunery.inference"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdin is not None
    began = time.monotonic()
    child.communicate(timeout=20)
    assert child.returncode == 0
    assert time.monotonic() - began < 10


def test_closing_tells_whoever_waits_and_leaves_no_process(model: Path) -> None:
    made = ChildGenerator(threads=1)
    pieces = made.generate(long_work(model))
    next(pieces)
    n_before = len(children())
    made.close()
    assert len(children()) == n_before - 1
    with pytest.raises(Unavailable):
        list(pieces)
    with pytest.raises(Unavailable, match="shutting down"):
        list(made.generate(asked(model)))


def test_what_a_child_writes_before_it_dies_is_in_the_log_and_not_in_the_answer(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    made = ChildGenerator(module="no.such.module")
    with pytest.raises(Unavailable, match=r"ended with exit code 1\.$"):
        list(made.generate(asked(Path("any"))))
    made.close()
    assert "ModuleNotFoundError" in caplog.text


def test_a_child_that_says_anything_else_is_given_up() -> None:
    made = ChildGenerator(module="this")  # prints a poem
    with pytest.raises(Unavailable, match="The inference process"):
        list(made.generate(asked(Path("any"))))
    made.close()


def test_without_torch_the_way_to_install_it_is_said(
    monkeypatch: pytest.MonkeyPatch, model: Path
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(Unavailable, match="pip install") as refused:
        list(ChildGenerator().generate(asked(model)))
    assert refused.value.message == NOT_INSTALLED


def test_the_server_side_never_loads_torch() -> None:
    program = "import sys, tunery.inference.process; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
