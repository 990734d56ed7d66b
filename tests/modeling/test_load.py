"""Base models are found in folders and in the Hugging Face cache, and read from safetensors."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants

from tests.modeling.models import tiny_model, tokens
from tests.modeling.templates import CHATML, tokenizer
from tunery.core.errors import InvalidValue, Unsupported
from tunery.modeling.folders import resolve_base
from tunery.modeling.load import load_model, load_tokenizer

REVISION = "0123456789012345678901234567890123456789"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tiny model on disk."""
    path = tmp_path / "model"
    tiny_model("llama").save_pretrained(path)
    tokenizer(CHATML).save_pretrained(path)
    return path


@pytest.fixture
def cache(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Hugging Face cache with that model as `acme/tiny`."""
    hub = tmp_path / "hub"
    model = hub / "models--acme--tiny"
    (model / "snapshots").mkdir(parents=True)
    folder.rename(model / "snapshots" / REVISION)
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text(REVISION)
    (model / "refs" / "v1").write_text(REVISION)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(hub))
    return hub


def test_a_folder_is_loaded_with_its_tokenizer_and_template(folder: Path) -> None:
    loaded = load_model(str(folder), device=torch.device("cpu"))
    [ids] = tokens(9)
    with torch.no_grad():
        got, want = (m(input_ids=ids[None]).logits for m in (loaded.model, tiny_model("llama")))
    torch.testing.assert_close(got, want)
    assert loaded.model.dtype == torch.float32
    assert loaded.tokenizer.chat_template == CHATML


def test_the_dtype_may_be_chosen(folder: Path) -> None:
    loaded = load_model(str(folder), device=torch.device("cpu"), dtype=torch.bfloat16)
    assert loaded.model.dtype == torch.bfloat16


@pytest.mark.parametrize("name", ["acme/tiny", "acme/tiny@v1", f"acme/tiny@{REVISION}"])
def test_the_hugging_face_cache_is_read(name: str, cache: Path) -> None:
    assert resolve_base(name) == cache / "models--acme--tiny" / "snapshots" / REVISION
    assert load_tokenizer(resolve_base(name)).chat_template == CHATML


def test_what_is_not_in_the_cache_is_named_with_the_command_that_gets_it(cache: Path) -> None:
    with pytest.raises(InvalidValue, match="`hf download acme/large`") as refused:
        resolve_base("acme/large")
    assert refused.value.param == "model"
    with pytest.raises(InvalidValue, match="`hf download acme/tiny --revision v2`"):
        resolve_base("acme/tiny@v2")
    assert cache.is_dir()


@pytest.mark.parametrize("name", ["tiny", "", "/no/such/folder", "a/b/c", "../secret"])
def test_what_is_no_model_is_refused(name: str) -> None:
    with pytest.raises(InvalidValue, match="neither a folder nor a Hugging Face id"):
        resolve_base(name)


def test_pickled_weights_are_refused(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(Unsupported, match="only pickled ones"):
        load_model(str(folder))
    (folder / "pytorch_model.bin").unlink()
    with pytest.raises(Unsupported, match="none"):
        resolve_base(str(folder))
    (folder / "config.json").unlink()
    with pytest.raises(InvalidValue, match=r"config\.json"):
        resolve_base(str(folder))


@pytest.mark.parametrize("kind", ["t5", "no-such-architecture"])
def test_what_is_no_causal_language_model_is_refused(kind: str, folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": kind}))
    with pytest.raises(Unsupported, match="no causal language model"):
        load_model(str(folder))


def test_code_that_comes_with_a_model_is_not_run(folder: Path, tmp_path: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {
        "AutoConfig": "evil.EvilConfig",
        "AutoModelForCausalLM": "evil.EvilModel",
    }
    config["model_type"] = "evil"
    (folder / "config.json").write_text(json.dumps(config))
    witness = tmp_path / "ran"
    (folder / "evil.py").write_text(f"open({str(witness)!r}, 'w').close()")
    with pytest.raises(Unsupported):
        load_model(str(folder))
    assert not witness.exists()


def test_finding_and_tokenising_need_no_torch() -> None:
    script = (
        "import sys\nimport tunery.modeling.chat, tunery.modeling.folders\n"
        "raise SystemExit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
