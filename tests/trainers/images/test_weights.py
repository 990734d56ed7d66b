"""Adapters are extracted from full tunings, and files are what diffusers takes."""

from pathlib import Path

import pytest
import torch
from diffusers import FluxPipeline

from tests.trainers.images.conftest import TINY_IMAGE
from tunery.modeling import flux_lora
from tunery.modeling.flow import generator
from tunery.modeling.flux import load_pipeline
from tunery.modeling.flux_lora import adapted_layers, extracted, save_lora
from tunery.trainers.images.weights import AdapterWeights, FullWeights, Weights

CPU = torch.device("cpu")


def tiny() -> FluxPipeline:
    return load_pipeline(str(TINY_IMAGE), device=CPU)


def drawn(pipeline: FluxPipeline) -> torch.Tensor:
    found: torch.Tensor = pipeline(
        "a red TOK",
        height=32,
        width=32,
        num_inference_steps=3,
        max_sequence_length=16,
        generator=torch.Generator().manual_seed(1),
        output_type="pt",
    ).images
    return found


def shaken(pipeline: FluxPipeline, weights: Weights) -> Weights:
    with torch.no_grad():
        for name, weight in weights.parameters.items():
            noise = torch.randn(weight.shape, generator=generator(name))
            weight.add_(0.02 * noise)
    return weights


def test_all_linear_layers_of_the_blocks_are_adapted() -> None:
    names = set(adapted_layers(tiny().transformer))
    assert len(names) == 2 * 14 + 4 * 6
    assert {"transformer_blocks.0.attn.add_q_proj", "transformer_blocks.1.ff_context.net.2"} < names
    assert {
        "single_transformer_blocks.3.proj_mlp",
        "single_transformer_blocks.3.norm.linear",
    } < names


def test_an_adapter_changes_nothing_before_the_first_step() -> None:
    pipeline = tiny()
    before = drawn(pipeline)
    AdapterWeights(pipeline.transformer, r=4, lora_alpha=4, seed=3)
    assert torch.equal(drawn(pipeline), before)


def test_the_seed_makes_the_adapter_and_nothing_else_is_drawn_from_it() -> None:
    def first(seed: int) -> torch.Tensor:
        weights = AdapterWeights(tiny().transformer, r=4, lora_alpha=4, seed=seed)
        return next(iter(weights.parameters.values())).detach()

    torch.manual_seed(5)
    one, after = first(1), torch.randn(3)
    assert torch.equal(one, first(1))
    assert not torch.equal(one, first(2))
    torch.manual_seed(5)
    tiny()
    assert torch.equal(after, torch.randn(3))


@pytest.mark.parametrize("lora_alpha", [4, 8])
def test_a_saved_adapter_draws_through_diffusers_what_it_draws_here(
    lora_alpha: float, tmp_path: Path
) -> None:
    pipeline, base = tiny(), tiny()
    weights = AdapterWeights(pipeline.transformer, r=4, lora_alpha=lora_alpha, seed=3)
    shaken(pipeline, weights)
    save_lora(weights.lora()[0], tmp_path)
    expected, before = drawn(pipeline), drawn(base)
    assert (expected - before).abs().max() > 0.02
    base.load_lora_weights(tmp_path)
    torch.testing.assert_close(drawn(base), expected, rtol=0, atol=1e-5)


def test_the_extracted_adapter_of_full_rank_is_the_full_tuning(tmp_path: Path) -> None:
    pipeline, base = tiny(), tiny()
    weights = FullWeights(pipeline.transformer, r=128, base=TINY_IMAGE / "transformer")
    shaken(pipeline, weights)
    lora, kept = weights.lora()
    assert kept == pytest.approx(1)
    save_lora(lora, tmp_path)
    expected = drawn(pipeline)
    base.load_lora_weights(tmp_path)
    torch.testing.assert_close(drawn(base), expected, rtol=0, atol=1e-4)


def test_all_that_is_trained_fully_is_in_the_adapter() -> None:
    """A bias or a norm that changed would be lost."""
    pipeline = tiny()
    FullWeights(pipeline.transformer, r=4, base=TINY_IMAGE / "transformer")
    trained = {n for n, p in pipeline.transformer.named_parameters() if p.requires_grad}
    assert trained == {f"{name}.weight" for name in adapted_layers(pipeline.transformer)}


def test_an_extraction_keeps_the_largest_singular_values() -> None:
    left, _ = torch.linalg.qr(torch.randn(12, 6, generator=generator(1)))
    right, _ = torch.linalg.qr(torch.randn(9, 6, generator=generator(2)))
    values = torch.tensor([8.0, 4.0, 2.0, 1.0, 0.5, 0.25])
    matrix = left * values @ right.T
    a, b, kept = extracted(matrix, 3)
    assert a.shape == (3, 9)
    assert b.shape == (12, 3)
    torch.testing.assert_close(b @ a, left[:, :3] * values[:3] @ right[:, :3].T)
    assert kept == pytest.approx(84 / float(values.square().sum()), rel=1e-4)


def test_a_rank_above_that_of_the_layer_is_filled_with_nothing() -> None:
    matrix = torch.randn(5, 9, generator=generator(1))
    a, b, kept = extracted(matrix, 8)
    assert a.shape == (8, 9)
    assert b.shape == (5, 8)
    torch.testing.assert_close(b @ a, matrix)
    assert kept == pytest.approx(1)


def test_of_large_matrices_the_largest_values_are_found_without_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    falling = torch.linspace(3, -3, 60).exp()
    left, _ = torch.linalg.qr(torch.randn(80, 60, generator=generator(1)))
    right, _ = torch.linalg.qr(torch.randn(70, 60, generator=generator(2)))
    matrix = left * falling @ right.T
    exact = extracted(matrix, 8)
    monkeypatch.setattr(flux_lora, "_SMALL", 10)
    found = extracted(matrix, 8)
    assert found[2] == pytest.approx(exact[2], rel=1e-4)
    torch.testing.assert_close(found[1] @ found[0], exact[1] @ exact[0], rtol=1e-2, atol=1e-2)
    again = extracted(matrix, 8)
    assert torch.equal(found[0], again[0])
