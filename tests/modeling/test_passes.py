"""Replaced passes give what the model's own give; one that would not is not used."""

import logging

import pytest
import torch
from torch import Tensor, nn

from tests.modeling.models import tiny_model, tokens
from tunery.modeling import passes
from tunery.modeling.base import Base


@pytest.mark.parametrize("name", ["llama", "gemma2", "qwen3", "phi3", "neox", "mamba2"])
def test_a_model_with_our_passes_gives_what_it_gave(name: str) -> None:
    [ids] = tokens(30)
    with torch.no_grad():
        want = tiny_model(name)(input_ids=ids[None]).logits
        got = Base(tiny_model(name)).model(input_ids=ids[None]).logits
    torch.testing.assert_close(got, want, atol=1e-4, rtol=1e-4)


def test_what_is_replaced_is_named_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="tunery.modeling"):
        base = Base(tiny_model("llama"))
        assert base.layout.packed
    assert {"rotary", "model.norm", "model.layers.1.mlp"} <= set(base.replaced)
    assert "passes replaced: rotary, model.layers.0.mlp" in caplog.text
    assert "Layout(packed=True, grain=1, plain_head=True)" in caplog.text


def test_why_a_model_is_not_packed_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="tunery.modeling"):
        assert not Base(tiny_model("lfm2")).layout.packed
    assert "not packed: layers of type conv" in caplog.text


def test_a_norm_that_takes_a_gate_keeps_its_own_pass() -> None:
    replaced = Base(tiny_model("mamba2")).replaced
    assert "backbone.norm_f" in replaced
    assert "backbone.layers.0.mixer.norm" not in replaced


def test_passes_that_together_change_the_model_are_taken_back(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def wrong(module: nn.Module) -> passes.Pass | None:
        return (lambda x: 2 * x) if "RMSNorm" in type(module).__name__ else None

    monkeypatch.setattr(passes, "_norm_for", wrong)
    base = Base(tiny_model("llama"))
    assert base.replaced == []
    assert "taken back" in caplog.text
    [ids] = tokens(9)
    with torch.no_grad():
        want = tiny_model("llama")(input_ids=ids[None]).logits
        got = base.model(input_ids=ids[None]).logits
    torch.testing.assert_close(got, want)


def test_another_value_or_gradient_is_another_pass() -> None:
    x = torch.randn(3, 5, generator=torch.Generator().manual_seed(0))

    def square(x: Tensor) -> Tensor:
        return x * x

    def flat(x: Tensor) -> Tensor:
        return (x * x).detach() + 0 * x

    assert passes.same(square, lambda x: x**2, x)
    assert not passes.same(square, lambda x: x**2 + 1e-3, x)
    assert not passes.same(square, flat, x)
    assert not passes.same(square, lambda x: x @ x, x)
