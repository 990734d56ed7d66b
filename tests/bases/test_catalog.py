"""Which base models there are, and what they are called."""

from pathlib import Path

import pytest

from tunery.bases.catalog import BUILT_IN, FolderCatalog
from tunery.core.errors import InvalidValue, NotFound


@pytest.fixture
def catalog(tmp_path: Path) -> FolderCatalog:
    snapshot = tmp_path / "hub" / "models--Qwen--Qwen3-0.6B" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    (tmp_path / "hub" / "models--half--downloaded").mkdir()
    (tmp_path / "own").mkdir()
    return FolderCatalog(
        folders={"house-model": tmp_path / "own"},
        aliases={"gpt-4o-mini-2024-07-18": "Qwen/Qwen3-0.6B", "gpt-5": "Nobody/Has-This"},
        cache=tmp_path / "hub",
    )


def test_every_kind_of_base_model_is_listed_by_name(catalog: FolderCatalog) -> None:
    names = [model.name for model in catalog.models()]
    assert names == ["Qwen/Qwen3-0.6B", "house-model", "tiny-chat", "tiny-image"]


def test_the_built_in_model_brings_what_auto_means_for_it(catalog: FolderCatalog) -> None:
    tiny = catalog.resolve("tiny-chat")
    assert tiny.location == str(BUILT_IN / "tiny-chat")
    assert tiny.defaults.learning_rate > 1e-3
    assert tiny.defaults.rows_seen is not None


def test_an_alias_means_the_model_behind_it(catalog: FolderCatalog) -> None:
    assert catalog.resolve("gpt-4o-mini-2024-07-18").name == "Qwen/Qwen3-0.6B"


def test_a_revision_stays_with_the_name(catalog: FolderCatalog) -> None:
    assert catalog.resolve("Qwen/Qwen3-0.6B@abc").location == "Qwen/Qwen3-0.6B@abc"


def test_text_models_are_kept_in_four_bits_where_that_is_asked_for(
    catalog: FolderCatalog, tmp_path: Path
) -> None:
    names = ("Qwen/Qwen3-0.6B", "house-model", "tiny-image")
    asked = FolderCatalog(
        folders={"house-model": tmp_path / "own"},
        aliases={"short": "Qwen/Qwen3-0.6B"},
        cache=tmp_path / "hub",
        quantized=names,
    )
    kept = {model.name: model.quantization for model in asked.models()}
    assert kept == {
        "Qwen/Qwen3-0.6B": "nf4",
        "house-model": "nf4",
        "tiny-chat": None,
        "tiny-image": None,
    }
    assert asked.resolve("short").quantization == "nf4"
    assert asked.resolve("Qwen/Qwen3-0.6B@abc").quantization == "nf4"
    assert all(model.quantization is None for model in catalog.models())


def test_the_weights_of_a_model_are_as_large_as_its_files(
    catalog: FolderCatalog, tmp_path: Path
) -> None:
    [qwen] = (tmp_path / "hub").glob("*/snapshots")
    for snapshot, sizes in (("abc", (30, 4)), ("old", (20,))):
        (qwen / snapshot).mkdir(exist_ok=True)
        for number, size in enumerate(sizes):
            (qwen / snapshot / f"model-{number}.safetensors").write_bytes(b"w" * size)
    (tmp_path / "own" / "vae").mkdir()
    (tmp_path / "own" / "vae" / "model.safetensors").write_bytes(b"w" * 7)
    (tmp_path / "own" / "model.bin").write_bytes(b"w" * 100)
    assert catalog.weights_bytes("gpt-4o-mini-2024-07-18") == 34
    assert catalog.weights_bytes("house-model") == 7


def test_an_unknown_name_is_told_what_there_is(catalog: FolderCatalog) -> None:
    with pytest.raises(NotFound, match=r"Base models here: Qwen/Qwen3-0\.6B, house-model"):
        catalog.resolve("gpt-2")


def test_an_alias_of_a_model_that_is_not_here_says_how_to_get_it(catalog: FolderCatalog) -> None:
    # More may be said behind it: a command that is copied must end where it ends.
    with pytest.raises(NotFound, match=r"`hf download Nobody/Has-This`\.$"):
        catalog.resolve("gpt-5")


def test_a_folder_of_the_operators_may_begin_at_their_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    catalog = FolderCatalog(folders={"mine": Path("~/own")}, aliases={}, cache=tmp_path / "hub")
    assert catalog.resolve("mine").location == str(tmp_path / "own")


def test_a_folder_that_is_not_there_is_named_with_its_setting(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match=r"setting models names .*/gone for 'mine'"):
        FolderCatalog(folders={"mine": tmp_path / "gone"}, aliases={}, cache=tmp_path / "hub")
