"""Sampled tokens are those that the whole sequence, read again, would give."""

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from tests.modeling.models import fill, tiny_model, tokens
from tunery.core.errors import InvalidValue
from tunery.core.lora import LoraConfig
from tunery.modeling.adapter import Adapter
from tunery.modeling.base import Base
from tunery.modeling.choosing import Ask, Token
from tunery.modeling.sample import sample
from tunery.modeling.stream import Span

NAMES = ["llama", "gemma2", "gemma3", "mistral", "neox", "phi", "qwen3moe", "mamba", "lfm2"]


def answers(tokens: Sequence[Token], n: int) -> list[list[Token]]:
    return [[token for token in tokens if token.index == index] for index in range(n)]


def reread(base: Base, adapter: Adapter | None, ids: list[int]) -> Tensor:
    """Logits after `ids`, without a cache."""
    with torch.no_grad(), base.carrying([Span(adapter, 0, len(ids))]):
        logits: Tensor = base.model(input_ids=torch.tensor([ids]), use_cache=False).logits
    return logits[0, -1]


@pytest.mark.parametrize("name", NAMES)
def test_greedy_tokens_and_logprobs_are_those_of_reading_all_again(name: str) -> None:
    base = Base(tiny_model(name))
    adapters = [None, fill(Adapter(base.places, LoraConfig(r=2), seed=1))]
    prompts = [row.tolist() for row in tokens(9, 14)]
    asks = [
        Ask(prompt=p, adapter=a, max_tokens=8, temperature=0, top_logprobs=3)
        for p, a in zip(prompts, adapters, strict=True)
    ]
    for prompt, adapter, tokens_ in zip(
        prompts, adapters, answers(list(sample(base, asks)), 2), strict=True
    ):
        assert [token.finish for token in tokens_] == [None] * 7 + ["length"]
        ids = list(prompt)
        for token in tokens_:
            logp = torch.log_softmax(reread(base, adapter, ids), -1)
            assert token.logprob is not None
            assert math.isclose(token.logprob, float(logp.max()), abs_tol=2e-4)
            assert math.isclose(float(logp[token.id]), float(logp.max()), abs_tol=2e-4)
            assert len(token.top) == 3
            assert token.top[0][0] == token.id
            ids.append(token.id)


def test_a_batch_gives_what_each_gets_alone() -> None:
    base = Base(tiny_model("llama"))
    adapter = fill(Adapter(base.places, LoraConfig(r=2), seed=1))
    asks = [
        Ask(prompt=row.tolist(), adapter=a, max_tokens=m, seed=s, temperature=0.8)
        for row, a, m, s in zip(
            tokens(5, 12, 9, 5), (None, adapter, adapter, None), (9, 3, 6, 9), range(4), strict=True
        )
    ]
    joint = answers(list(sample(base, asks)), 4)
    for ask, together in zip(asks, joint, strict=True):
        alone = list(sample(base, [ask]))
        assert [t.id for t in alone] == [t.id for t in together]
        assert len(alone) == ask.max_tokens


def test_samples_of_one_prompt_differ_by_their_seeds_alone() -> None:
    base = Base(tiny_model("llama"))
    [row] = tokens(6)
    asks = [Ask(prompt=row.tolist(), max_tokens=12, seed=seed) for seed in (1, 2, 1)]
    first, second, again = (
        [token.id for token in answer] for answer in answers(list(sample(base, asks)), 3)
    )
    assert first == again
    assert first != second


def test_tokens_are_drawn_as_often_as_they_are_likely() -> None:
    base = Base(tiny_model("llama"))
    prompt = tokens(6)[0].tolist()
    likely = torch.softmax(reread(base, None, prompt) / 0.7, -1)
    asks = [Ask(prompt=prompt, max_tokens=1, temperature=0.7, seed=s) for s in range(2000)]
    drawn = torch.bincount(torch.tensor([t.id for t in sample(base, asks)]), minlength=len(likely))
    error = (drawn / 2000 - likely).abs()
    assert (error <= 5 * (likely * (1 - likely) / 2000).sqrt() + 1e-3).all()


def test_top_p_leaves_out_the_unlikely() -> None:
    base = Base(tiny_model("llama"))
    prompt = tokens(6)[0].tolist()
    values, ids = torch.softmax(reread(base, None, prompt), -1).sort(descending=True)
    n_kept = int((values.cumsum(0) < 0.4).sum()) + 1
    asks = [Ask(prompt=prompt, max_tokens=1, top_p=0.4, seed=seed) for seed in range(300)]
    assert {t.id for t in sample(base, asks)} <= set(ids[:n_kept].tolist())
    narrow = [Ask(prompt=prompt, max_tokens=1, top_p=0.0, seed=seed) for seed in range(20)]
    assert {t.id for t in sample(base, narrow)} == {int(ids[0])}


def test_a_stop_token_ends_its_sequence_alone() -> None:
    base = Base(tiny_model("llama"))
    prompt = tokens(6)[0].tolist()
    free = [t.id for t in sample(base, [Ask(prompt=prompt, max_tokens=6, temperature=0)])]
    stop = free[3]
    asks = [
        Ask(prompt=prompt, max_tokens=6, temperature=0, stop_ids=frozenset({stop})),
        Ask(prompt=prompt, max_tokens=6, temperature=0),
    ]
    stopped, whole = answers(list(sample(base, asks)), 2)
    end = free.index(stop)
    assert [t.id for t in stopped] == free[: end + 1]
    assert stopped[-1].finish == "stop"
    assert [t.id for t in whole] == free
    assert whole[-1].finish == "length"


def test_a_caller_may_stop_at_any_token_and_others_use_the_base_meanwhile() -> None:
    base = Base(tiny_model("llama"))
    prompt = tokens(6)[0].tolist()
    ask = Ask(prompt=prompt, max_tokens=6, temperature=0)
    whole = [t.id for t in sample(base, [ask])]
    first, second = sample(base, [ask]), sample(base, [ask])
    woven = [(next(first).id, next(second).id) for _ in range(3)]
    assert woven == [(token, token) for token in whole[:3]]
    assert torch.is_grad_enabled()
    second.close()
    assert [t.id for t in first] == whole[3:]


def test_the_context_bounds_an_answer() -> None:
    model = tiny_model("llama")
    model.config.max_position_embeddings = 10
    base = Base(model)
    ids = list(range(3, 10))
    assert len(list(sample(base, [Ask(prompt=ids, temperature=0)]))) == 3
    with pytest.raises(InvalidValue, match="takes 10"):
        list(sample(base, [Ask(prompt=ids + ids[:3])]))
    with pytest.raises(InvalidValue, match="empty"):
        list(sample(base, [Ask(prompt=[])]))
