"""With the last layer on taught rows alone, losses and gradients are what they are with all."""

import logging
import math

import pytest
import torch
from torch import Tensor, nn

from tests.modeling.models import ARCHITECTURES, GRIDS, fill, segments, shares, tiny_model, tokens
from tunery.core.lora import LoraConfig
from tunery.modeling.adapter import Adapter
from tunery.modeling.base import Base
from tunery.modeling.narrowing import agrees
from tunery.modeling.segments import Fork, Segment
from tunery.modeling.stream import Stream

# Their attention and MLP read the same tensor, or they have no norm before attention.
WHOLE = {"cohere", "neox", "phi", "olmo2", *GRIDS}


def jobs(base: Base, *, dropout: float = 0.0) -> list[Adapter]:
    configs = [
        LoraConfig(r=3, lora_alpha=5, lora_dropout=dropout),
        LoraConfig(r=2, lora_dropout=dropout / 2),
    ]
    return [fill(Adapter(base.places, config, seed=i)) for i, config in enumerate(configs)]


def mixed(adapters: list[Adapter]) -> list[Segment]:
    """Most rows untaught, one row of a segment taught, all rows taught, and the base's own."""
    first, second = adapters
    return [
        *segments(tokens(9, 23, 17), first, learn=lambda i: i % 4 == 2),
        *segments(tokens(12, seed=1), first, learn=lambda i: i == 7),
        *segments(tokens(10, 5, seed=2), second),
        *segments(tokens(8, seed=3), learn=lambda i: i > 5),
    ]


def learnt(base: Base, stream: Stream, adapters: list[Adapter]) -> tuple[Tensor, list[Tensor]]:
    for adapter in adapters:
        adapter.grad.zero_()
    losses = base.losses(stream)
    (losses.nats * shares(stream)).sum().backward()
    return losses.nats.detach(), [adapter.grad.clone() for adapter in adapters]


def compare(
    base: Base, batch: list[Segment] | list[Fork], adapters: list[Adapter], *, tolerance: float
) -> Stream:
    """See that a pass over `batch` is the same either way; gives back its stream."""
    stream = base.stream(batch)
    assert stream.narrowed is not None
    nats, gradients = learnt(base, stream, adapters)
    whole = base.stream(batch)
    whole.narrowed = None
    expected, wanted = learnt(base, whole, adapters)
    torch.testing.assert_close(nats, expected, atol=10 * tolerance, rtol=tolerance)
    for gradient, want in zip(gradients, wanted, strict=True):
        scale = want.abs().max()
        assert scale > 0
        torch.testing.assert_close(gradient / scale, want / scale, atol=tolerance, rtol=0)
    return stream


def rows_seen(module: nn.Module) -> list[int]:
    """Of each call of `module` from now on, how many rows it was given."""
    seen: list[int] = []
    module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[-2]))
    return seen


@pytest.mark.parametrize("name", sorted(ARCHITECTURES.keys() - WHOLE))
def test_losses_and_gradients_are_the_same(name: str) -> None:
    base = Base(tiny_model(name))
    adapters = jobs(base)
    compare(base, mixed(adapters), adapters, tolerance=1e-5)


@pytest.mark.parametrize("name", sorted(WHOLE))
def test_other_layers_are_left_as_they_are(name: str) -> None:
    base = Base(tiny_model(name))
    assert not base.narrows
    assert base.stream(segments(tokens(9))).narrowed is None


def test_what_teaches_nothing_is_not_computed() -> None:
    base = Base(tiny_model("llama"))
    stream = base.stream(segments(tokens(30), learn=lambda i: i > 25))
    layers = base.decoder.get_submodule("layers")
    attended, *given = (
        rows_seen(layers.get_submodule(name)) for name in ("1.self_attn.v_proj", "1.mlp", "0.mlp")
    )
    base.losses(stream)
    assert (attended, *given) == ([29], [4], [29])


def test_forks_teach_their_last_common_row_twice() -> None:
    base = Base(tiny_model("llama"))
    [adapter, _] = jobs(base)
    prompt, *answers = tokens(8, 3, 6)
    answers[1][0] = answers[0][0] + 1
    rows = [torch.cat((prompt, answer)) for answer in answers]
    first, second = segments(rows, adapter, learn=lambda i: i >= 8)
    stream = compare(base, [Fork(first=first, second=second)], [adapter], tolerance=1e-5)
    assert stream.narrowed is not None
    assert stream.narrowed.rows.tolist() == [7, 8, 9, 7, 10, 11, 12, 13, 14]


@pytest.mark.parametrize("name", ["llama", "gemma2"])
def test_bf16_rows_are_filled_up_for_each_adapter(name: str) -> None:
    base = Base(tiny_model(name, dtype=torch.bfloat16))
    adapters = jobs(base)
    batch = mixed(adapters) + segments(tokens(200, seed=4), adapters[0], learn=lambda i: i > 120)
    stream = compare(base, batch, adapters, tolerance=2e-2)
    assert stream.narrowed is not None
    assert [(span.adapter, span.first, span.end) for span in stream.narrowed.spans] == [
        (adapters[0], 0, 128), (adapters[1], 128, 192), (None, 192, 256),
    ]  # fmt: skip
    for span, own in zip(stream.narrowed.spans, stream.spans, strict=True):
        rows = stream.narrowed.rows[span.first : span.end]
        assert own.first <= int(rows.min()) <= int(rows.max()) < own.end


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_is_not_a_number_stays_with_its_adapter(dtype: torch.dtype) -> None:
    base = Base(tiny_model("llama", dtype=dtype))
    good, bad = jobs(base)
    batch = mixed([good, bad])
    alone = base.stream([segment for segment in batch if segment.adapter is good])
    expected, [wanted] = learnt(base, alone, [good])
    bad.master.fill_(math.nan)
    bad.refresh()
    nats, [gradient, broken] = learnt(base, base.stream(batch), [good, bad])
    tolerance = 1e-5 if dtype == torch.float32 else 2e-2
    torch.testing.assert_close(nats[: len(expected)], expected, atol=tolerance, rtol=tolerance)
    torch.testing.assert_close(
        gradient, wanted, atol=tolerance * float(wanted.abs().max()), rtol=tolerance
    )
    assert broken.isnan().any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_dropout_is_drawn_in_company_as_alone(dtype: torch.dtype) -> None:
    base = Base(tiny_model("llama", dtype=dtype))
    results, states = [], []
    for in_company in (False, True):
        adapters = jobs(base, dropout=0.4)
        batch = [s for s in mixed(adapters) if in_company or s.adapter is adapters[0]]
        results.append(learnt(base, base.stream(batch), adapters)[1][0])
        states.append(adapters[0].dropout.get_state())
    assert torch.equal(*states)
    tolerance = 1e-5 if dtype == torch.float32 else 2e-2
    alone, company = (gradient / results[0].abs().max() for gradient in results)
    torch.testing.assert_close(company, alone, atol=tolerance, rtol=0)


def test_the_answer_of_the_trial_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="tunery.modeling"):
        assert Base(tiny_model("llama")).narrows
        assert not Base(tiny_model("cohere")).narrows
    assert "the last layer goes on with the taught rows alone" in caplog.text
    assert "the last layer needs every row: model.layers.1.mlp.gate_proj got" in caplog.text


@pytest.mark.parametrize("wrong", ["value", "gradient"])
def test_another_value_or_gradient_is_refused(wrong: str) -> None:
    base = Base(tiny_model("llama"))

    def losses(segment: Segment, *, narrow: bool) -> Tensor:
        nats = base.losses(base.stream([segment])).nats
        if not narrow:
            return nats
        return nats + 1e-2 if wrong == "value" else 1.01 * nats - 0.01 * nats.detach()

    assert not agrees(base.decoder, base.places, base.dtype, losses)
