"""A file is tokenised once for a job, and again when anything about it changes."""

import json
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
import torch

from tests.modeling.templates import CHATML, TINY_CHAT, tokenizer
from tests.trainers.conftest import Changed, chat, preference, write
from tests.trainers.test_text_sft import FOLDER, curve, run
from tunery.core.progress import Finished, PreflightRequest
from tunery.modeling.chat import Chat
from tunery.trainers import preparation, token_cache
from tunery.trainers.preflight import preflight
from tunery.trainers.text_data import Examples, load_examples
from tunery.trainers.token_cache import cached, key


def examples(path: Path) -> Examples:
    return load_examples(path, Chat(tokenizer(CHATML)), context=60, overlong="truncate")


def test_what_was_kept_is_what_was_read(tmp_path: Path) -> None:
    rows = [chat("two", "Four."), chat("two " * 99, "Four."), chat("two", "Four " * 99)]
    path = write(tmp_path / "rows", rows)
    made = cached(tmp_path / "run" / "1", "x", lambda: examples(path))

    def never() -> Examples:
        raise AssertionError("read again")

    kept = cached(tmp_path / "run" / "2", "x", never)
    for name in ("ids", "learn", "starts"):
        assert torch.equal(getattr(kept, name), getattr(made, name))
    assert (kept.n_cut, kept.n_silent, kept.n_dropped) == (2, 1, 0)


def test_a_damaged_file_is_read_again(tmp_path: Path) -> None:
    path = write(tmp_path / "rows", [chat("two", "Four.")])
    cached(tmp_path / "run" / "1", "x", lambda: examples(path))
    [kept] = (tmp_path / "run" / "1").iterdir()
    kept.write_bytes(kept.read_bytes()[:20])
    assert len(cached(tmp_path / "run" / "2", "x", lambda: examples(path))) == 1


def test_the_name_follows_from_all_that_decides_the_tokens(tmp_path: Path) -> None:
    first = write(tmp_path / "a", [chat("two", "Four.")])
    second = write(tmp_path / "b", [chat("two", "four.")])
    chatml, tiny = tmp_path / "chatml", tmp_path / "tiny"
    tokenizer(CHATML).save_pretrained(chatml)
    tokenizer(TINY_CHAT).save_pretrained(tiny)
    keys = {
        key(first, chatml, 60, "error"),
        key(second, chatml, 60, "error"),
        key(first, tiny, 60, "error"),
        key(first, chatml, None, "error"),
        key(first, chatml, 60, "drop"),
    }
    assert len(keys) == 5
    (chatml / "model.safetensors").write_bytes(b"weights")
    assert key(first, chatml, 60, "error") in keys


@pytest.mark.parametrize("method", ["supervised", "dpo"])
def test_what_a_preflight_tokenises_the_trainer_does_not_tokenise_again(
    method: str, changed: Changed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_cache, "WORTH_BYTES", 0)
    request = changed(folder=f"{FOLDER}/1")
    if method == "dpo":
        pairs = [preference("Hello", f"I am well {i}.", "No.") for i in range(22)]
        file = str(write(Path(request.blobs) / "files" / "pairs", pairs))
        hyperparameters = replace(request.hyperparameters, beta=0.1)
        request = msgspec.structs.replace(
            request, training_file=file, validation_file=file, hyperparameters=hyperparameters
        )
    asked = PreflightRequest(
        location=request.location,
        training_file=request.training_file,
        validation_file=request.validation_file,
        estimate=False,
        tokens=f"{request.blobs}/{FOLDER}/preflight",
    )
    whole = run(msgspec.structs.replace(request, folder="runs/another/1"))
    assert preflight(asked).n_errors == 0
    monkeypatch.setattr(preparation, "load_examples", None)
    values = run(request)
    assert isinstance(values[-1], Finished)
    assert curve(values) == curve(whole)
    assert not list((Path(request.blobs) / FOLDER).glob("*/tokens-*"))


@pytest.mark.parametrize("wrong", ['{"messages": [', json.dumps(preference("a", "b", "c"))])
def test_of_a_file_with_a_wrong_row_no_tokens_are_kept(
    wrong: str, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_cache, "WORTH_BYTES", 0)
    path = write(tmp_path / "rows", [chat("two", "Four.")])
    with path.open("a") as file:
        file.write(wrong + "\n")
    asked = PreflightRequest(
        location=str(model_folder),
        training_file=str(path),
        estimate=False,
        tokens=str(tmp_path / "kept"),
    )
    preflight(asked)
    assert not (tmp_path / "kept").exists()


def test_a_resumed_job_does_not_tokenise_again_and_a_finished_one_leaves_no_tokens(
    changed: Changed, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(changed(folder=f"{FOLDER}/whole"))
    monkeypatch.setattr(token_cache, "WORTH_BYTES", 0)
    monkeypatch.setattr(token_cache, "forget", lambda folder: None)
    run(changed(folder=f"{FOLDER}/1", validation_file=None))
    monkeypatch.undo()
    monkeypatch.setattr(token_cache, "WORTH_BYTES", 0)
    monkeypatch.setattr(preparation, "load_examples", None)
    values = run(
        changed(
            folder=f"{FOLDER}/2",
            validation_file=None,
            resume_from=f"{FOLDER}/1/step-00000003",
        )
    )
    assert isinstance(values[-1], Finished)
    assert curve(values) == curve(whole)[3:]
    assert not list((Path(changed().blobs) / FOLDER).glob("*/tokens-*"))
