"""In a running batch every sequence gets what it gets alone, whoever comes and goes."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence

import pytest
import torch

from tests.modeling.models import ARCHITECTURES, GRIDS, fill, tiny_model, tokens
from tunery.core.errors import InvalidValue, Unavailable
from tunery.core.lora import LoraConfig
from tunery.modeling.adapter import Adapter
from tunery.modeling.base import Base
from tunery.modeling.batch import Batch, Limits
from tunery.modeling.choosing import Ask, Broken, Token, choose
from tunery.modeling.sample import sample
from tunery.modeling.samplers import Sampler, Turnwise, sampler_for


@pytest.fixture(autouse=True)
def small_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the short rows of these tests lie in several tables and outgrow them."""
    monkeypatch.setattr("tunery.modeling.cache._SMALLEST", 16)


Said = dict[int, list[Token | Broken]]


def adapters(base: Base) -> list[Adapter | None]:
    """The base, and two that differ in rank, scale and targets."""
    leaf = base.places.families[0].names[0].rpartition(".")[2]
    narrow = LoraConfig(r=5, lora_alpha=20, target_modules=(leaf,))
    return [
        None,
        fill(Adapter(base.places, LoraConfig(r=2), seed=1), seed=1),
        fill(Adapter(base.places, narrow, seed=2), seed=2),
    ]


def asks_of(base: Base) -> list[Ask]:
    """Long and short ones, greedy and drawn; two differ in nothing but their seed."""
    voices = adapters(base)
    rows = [row.tolist() for row in tokens(9, 30, 1, 14, 9, 9, seed=3)]
    return [
        Ask(prompt=rows[0], adapter=voices[1], max_tokens=12, temperature=0, top_logprobs=3),
        Ask(prompt=rows[1], adapter=voices[2], max_tokens=9, seed=5, top_logprobs=0),
        Ask(prompt=rows[2], adapter=None, max_tokens=14, seed=6, temperature=0.7),
        Ask(prompt=rows[3], adapter=voices[1], max_tokens=3, top_p=0.8, seed=7, top_logprobs=2),
        Ask(prompt=rows[4], adapter=voices[2], max_tokens=8, seed=8, top_logprobs=1),
        Ask(prompt=rows[4], adapter=voices[2], max_tokens=8, seed=9, top_logprobs=1),
    ]


def collect(said: Said, come: Iterable[Token | Broken]) -> None:
    for one in come:
        said.setdefault(one.index, []).append(one)


def run(
    sampler: Sampler, joins: Mapping[int, Sequence[Ask]], n_steps: int = 80
) -> list[list[Token]]:
    """What each gets, in the order of joining; `joins` says at which steps they come."""
    said: Said = {}
    indices: list[int] = []
    for step in range(n_steps):
        indices += sampler.join(joins.get(step, ()))
        collect(said, sampler.step())
    assert sampler.step() == []
    return [heard(said[index]) for index in indices]


def heard(said: Sequence[Token | Broken]) -> list[Token]:
    assert not [one for one in said if isinstance(one, Broken)]
    return [one for one in said if isinstance(one, Token)]


def alone(base: Base, ask: Ask) -> list[Token]:
    """What `ask` gets in a batch of its own with the model's own attention and cache."""
    if base.model.config.model_type == "deepseek_v3":  # an adapter's linear reads its cache
        [found] = run(Batch(base), {0: [ask]})
        return found
    return heard(list(sample(base, [ask])))


def assert_same(got: Sequence[Token], expected: Sequence[Token]) -> None:
    assert [token.id for token in got] == [token.id for token in expected]
    assert [token.finish for token in got] == [token.finish for token in expected]
    for one, other in zip(got, expected, strict=True):
        assert one.logprob == pytest.approx(other.logprob, abs=1e-4)
        assert [i for i, _ in one.top] == [i for i, _ in other.top]
        assert [p for _, p in one.top] == pytest.approx([p for _, p in other.top], abs=1e-4)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_each_gets_what_it_gets_alone_at_whatever_steps_others_join(name: str) -> None:
    base = Base(tiny_model(name))
    sampler = sampler_for(base)
    assert isinstance(sampler, Turnwise if name in GRIDS else Batch)
    asks = asks_of(base)
    got = run(sampler, {0: asks[:1], 2: asks[1:3], 5: asks[3:4], 6: asks[4:]})
    for ask, found in zip(asks, got, strict=True):
        assert_same(found, alone(base, ask))


@pytest.mark.parametrize(
    "limits",
    [
        Limits(sequences=2),
        Limits(piece=4),
        Limits(tokens=96),
        Limits(tokens=1, piece=3),
        Limits(sequences=1, tokens=1, piece=1),
    ],
)
def test_whoever_waits_or_has_to_read_again_gets_the_same(limits: Limits) -> None:
    base = Base(tiny_model("gemma2"))
    asks = asks_of(base)
    long = Ask(prompt=tokens(40)[0].tolist(), max_tokens=60, seed=1)  # outgrows its first table
    got = run(Batch(base, limits), {0: [long, *asks]}, n_steps=400)
    for ask, found in zip([long, *asks], got, strict=True):
        assert_same(found, alone(base, ask))


def test_a_long_prompt_does_not_stop_an_answer_under_way() -> None:
    base = Base(tiny_model("llama"))
    batch = Batch(base, Limits(piece=8))
    first, second = (row.tolist() for row in tokens(5, 50))
    [early] = batch.join([Ask(prompt=first, max_tokens=30, temperature=0)])
    batch.step()
    [late] = batch.join([Ask(prompt=second, max_tokens=2, temperature=0)])
    steps = [[token.index for token in batch.step()] for _ in range(8)]
    assert steps == [[early]] * 6 + [[early, late]] * 2


def test_one_that_leaves_is_heard_no_more_and_the_others_stay_the_same() -> None:
    base = Base(tiny_model("llama"))
    asks = asks_of(base)
    batch, said = Batch(base, Limits(sequences=5)), Said()
    indices = batch.join(asks)
    for step in range(20):
        if step == 2:
            batch.leave(indices[0])  # runs
            batch.leave(indices[5])  # waits
        collect(said, batch.step())
    assert len(said[indices[0]]) == 2
    assert indices[5] not in said
    for index, ask in list(zip(indices, asks, strict=True))[1:5]:
        assert_same(heard(said[index]), alone(base, ask))


@pytest.mark.parametrize("name", ["llama", "lfm2"])
def test_a_poisoned_adapter_harms_nobody_else(name: str) -> None:
    base = Base(tiny_model(name))
    asks = asks_of(base)
    poisoned = fill(Adapter(base.places, LoraConfig(r=3), seed=4))
    poisoned.master.fill_(torch.nan)
    bad = Ask(prompt=asks[0].prompt, adapter=poisoned, max_tokens=9, temperature=0)
    sampler, said = sampler_for(base), Said()
    first = sampler.join(asks[:3])
    collect(said, sampler.step())
    [index] = sampler.join([bad])
    rest = sampler.join(asks[3:])
    for _ in range(60):
        collect(said, sampler.step())
    [broken] = said[index]
    assert isinstance(broken, Broken)
    assert isinstance(broken.error, Unavailable)
    for number, ask in zip([*first, *rest], asks, strict=True):
        assert_same(heard(said[number]), alone(base, ask))


def test_the_place_of_a_poisoned_sequence_is_clean_for_the_next() -> None:
    base = Base(tiny_model("llama"))
    poisoned = fill(Adapter(base.places, LoraConfig(r=3), seed=4))
    poisoned.master.fill_(torch.nan)
    long, short = (row.tolist() for row in tokens(40, 5))
    keeper = Ask(prompt=short, max_tokens=20, temperature=0)
    late = Ask(prompt=short[::-1], max_tokens=9, temperature=0)
    batch = Batch(base)
    got = run(batch, {0: [keeper], 3: [late]})
    batch.join([keeper])
    batch.join([Ask(prompt=long, adapter=poisoned, max_tokens=5)])
    said: Said = {}
    collect(said, batch.step())
    [index] = batch.join([late])
    for _ in range(30):
        collect(said, batch.step())
    assert_same(heard(said[index]), got[1])


def test_a_step_that_fails_ends_those_that_were_in_it_and_no_later_one(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    base = Base(tiny_model("llama"))
    ask = Ask(prompt=[5, 6, 7], max_tokens=4, temperature=0)
    batch = Batch(base, Limits(sequences=1))
    first, second = batch.join([ask, ask])

    def refuse(*_: object) -> None:
        raise RuntimeError("out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(base, "next_logits", refuse)
        assert [one.index for one in batch.step() if isinstance(one, Broken)] == [first]
    assert "out of memory" in caplog.text
    said: Said = {}
    for _ in range(5):
        collect(said, batch.step())
    assert_same(heard(said[second]), alone(base, ask))


def test_a_prompt_that_cannot_be_met_is_refused_at_once() -> None:
    model = tiny_model("llama")
    model.config.max_position_embeddings = 10
    batch = Batch(Base(model))
    with pytest.raises(InvalidValue, match="takes 10"):
        batch.join([Ask(prompt=list(range(3, 14)))])
    with pytest.raises(InvalidValue, match="empty"):
        batch.join([Ask(prompt=[])])
    assert batch.step() == []


def test_a_prompt_that_several_share_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    base = Base(tiny_model("llama"))
    batch, n_read = Batch(base), []
    read = base.next_logits

    def counted(reading, stack=None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        n_read.append(reading.ids.numel())
        return read(reading, stack)

    monkeypatch.setattr(base, "next_logits", counted)
    prompt = tokens(30)[0].tolist()
    batch.join([Ask(prompt=prompt, max_tokens=3, seed=seed) for seed in range(4)])
    for _ in range(4):
        batch.step()
    assert n_read == [30, 4, 4, 3]


def test_a_model_that_cannot_share_a_batch_says_so(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    sampler_for(Base(tiny_model("lfm2")))
    assert "Lfm2ForCausalLM" in caplog.text
    assert "take turns" in caplog.text


def test_packed_weights_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tunery.modeling.packs._LARGE", 1)
    base = Base(tiny_model("phi"))  # its linears have biases, and so has its head
    asks = asks_of(base)
    for ask, found in zip(asks, run(Batch(base), {0: asks}), strict=True):
        assert_same(found, alone(base, ask))


def test_all_memory_is_given_back() -> None:
    base = Base(tiny_model("llama"))
    batch = Batch(base)
    run(batch, {0: asks_of(base)})
    assert batch._cache.size == 0


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize(("worth_sharing", "n_threads"), [(2**30, 1), (1, 2)])
def test_a_step_whose_operations_are_short_keeps_to_one_thread(
    worth_sharing: int, n_threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tunery.modeling.batch._WORTH_SHARING", worth_sharing)
    base, seen = Base(tiny_model("llama")), []

    def choosing(*given: object) -> list[Token | Broken]:
        seen.append(torch.get_num_threads())
        return choose(*given)  # type: ignore[arg-type]

    monkeypatch.setattr("tunery.modeling.batch.choose", choosing)
    run(Batch(base), {0: [Ask(prompt=[5, 6, 7], max_tokens=2, temperature=0)]})
    assert seen == [n_threads] * 2
    assert torch.get_num_threads() == 2
