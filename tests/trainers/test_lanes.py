"""Parts of a pass on threads of their own: how it is cut, and that it gives the same."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from transformers import LlamaForCausalLM

from tests.modeling.models import VOCABULARY, fill, tiny_model
from tunery.core.lora import LoraConfig
from tunery.modeling.adapter import Adapter
from tunery.modeling.base import Base
from tunery.modeling.segments import Fork, Segment
from tunery.trainers.asks import Ask, Seen, Turn, Verdict, pass_through
from tunery.trainers.budget import Budget
from tunery.trainers.lanes import Lane, Lanes, Load, deal

LONG = [90, 70, 61, 60, 40, 33, 30, 20]


def segments(
    lengths: Sequence[int], adapter: Adapter | None = None, seed: int = 0
) -> list[Segment]:
    source = torch.Generator().manual_seed(seed)
    return [
        Segment(
            ids=torch.randint(3, VOCABULARY, (n + 1,), generator=source),
            learn=torch.arange(n + 1) > n // 3,
            adapter=adapter,
        )
        for n in lengths
    ]


def rows(lanes: Sequence[Lane]) -> list[int]:
    return [lane.n_rows for lane in lanes]


def test_a_load_is_cut_into_lanes_of_about_the_same_rows() -> None:
    load = Load(items=segments(LONG))
    lanes = deal([load], 2)
    assert len(lanes) == 2
    assert sum(rows(lanes)) == sum(LONG)
    assert max(rows(lanes)) < 1.1 * sum(LONG) / 2
    dealt = [item for lane in lanes for item in lane.parts[0]]
    assert sorted(map(id, dealt)) == sorted(map(id, load.items))


def test_loads_stay_together_where_they_fit() -> None:
    loads = [Load(items=segments([50, 50])) for _ in range(8)]
    lanes = deal(loads, 2)
    assert rows(lanes) == [400, 400]
    assert sorted(number for lane in lanes for number in lane.parts) == list(range(8))


def test_a_large_load_fills_up_what_small_ones_leave() -> None:
    lanes = deal([Load(items=segments([50, 50])), Load(items=segments([60] * 10))], 2)
    assert len(lanes) == 2
    assert max(rows(lanes)) <= 400
    assert all(1 in lane.parts for lane in lanes)
    assert sum(0 in lane.parts for lane in lanes) == 1


@pytest.mark.parametrize(
    "loads",
    [
        [Load(items=segments([900]))],
        [Load(items=segments([900, 20]))],
        [Load(items=segments([40, 40]))],
        [Load(items=segments(LONG), whole=True)],
    ],
    ids=["one row", "one long row", "few rows", "kept whole"],
)
def test_what_cannot_be_shared_goes_in_one_lane(loads: list[Load]) -> None:
    lanes = deal(loads, 2)
    assert len(lanes) == 1
    assert list(lanes[0].parts[0]) == list(loads[0].items)


@pytest.fixture
def base() -> Base:
    return Base(tiny_model("llama"))


def lanes_of(base: Base, most: int) -> Lanes:
    lanes = Lanes(base)
    lanes.most = most
    return lanes


def some(n: int, n_rows: int = 100) -> list[Lane]:
    return [Lane(n_rows=n_rows) for _ in range(n)]


def test_lanes_go_through_at_the_same_time(base: Base) -> None:
    meeting = threading.Barrier(3, timeout=20)

    def work(number: int) -> tuple[int, int]:
        meeting.wait()
        return number, threading.get_ident()

    found = lanes_of(base, 3).run(some(3), work)
    assert [number for number, _ in found] == [0, 1, 2]
    assert len({thread for _, thread in found}) == 3
    assert found[0][1] == threading.get_ident()


@pytest.mark.parametrize("bad", [0, 1])
def test_what_one_lane_raises_is_raised_when_all_have_ended(base: Base, bad: int) -> None:
    ended = threading.Event()
    threads = torch.get_num_threads()

    def work(number: int) -> None:
        if number == bad:
            raise IndexError("a row")
        threading.Event().wait(0.2)
        ended.set()

    with pytest.raises(IndexError, match="a row"):
        lanes_of(base, 2).run(some(2), work)
    assert ended.is_set()
    assert torch.get_num_threads() == threads


def test_each_lane_has_its_share_of_the_threads(base: Base) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        lanes = lanes_of(base, 2)
        assert lanes.run(some(2), lambda _: torch.get_num_threads()) == [2, 2]
        large = 2**33 // base.n_parameters
        assert lanes.run(some(1, large), lambda _: torch.get_num_threads()) == [4]
        assert lanes.run(some(1), lambda _: torch.get_num_threads()) == [1]
        assert torch.get_num_threads() == 4
    finally:
        torch.set_num_threads(before)


def test_a_base_that_remembers_has_one_lane() -> None:
    scaling = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}
    config = tiny_model("llama").config
    config.rope_parameters = scaling
    base = Base(LlamaForCausalLM(config))
    assert base.remembers
    assert Lanes(base).most == 1


def learnt(
    base: Base, jobs: Sequence[tuple[Adapter, Sequence[Segment | Fork]]], most: int
) -> tuple[list[list[list[float]]], list[Tensor]]:
    """What a pass of `jobs` finds of each row, and the gradients."""

    def judge(_: Sequence[Segment | Fork], seen: Seen) -> Verdict:
        return Verdict(loss=seen.nats.sum(), rows=seen.nats.detach().double()[:, None])

    turns = [
        Turn(Ask(items=items, judge=judge, learns=True, adapter=adapter, budget=Budget(4096)), base)
        for adapter, items in jobs
    ]
    pass_through(base, turns, lanes_of(base, most))
    gradients = [adapter.grad.clone() for adapter, _ in jobs]
    for adapter, _ in jobs:
        adapter.forget_gradients()
    return [sorted(turn.rows) for turn in turns], gradients


def adapters(base: Base, lora_dropout: float = 0.0) -> list[Adapter]:
    configs = [LoraConfig(r=r, lora_dropout=lora_dropout) for r in (2, 4, 8)]
    return [fill(Adapter(base.places, config), seed=config.r) for config in configs]


@pytest.mark.parametrize("architecture", ["llama", "gemma2", "lfm2"])
@pytest.mark.parametrize("most", [2, 3])
def test_a_pass_in_lanes_gives_what_it_gives_in_one(architecture: str, most: int) -> None:
    base = Base(tiny_model(architecture))
    first, second, third = adapters(base)
    asked, answers = segments([40] * 3, third, seed=4), segments([12] * 3, third, seed=5)
    forks = [
        Fork(first=a, second=replace(a, ids=torch.cat((a.ids[:-9], b.ids[:9]))))
        for a, b in zip(asked, answers, strict=True)
    ]
    jobs: list[tuple[Adapter, Sequence[Segment | Fork]]] = [
        (first, segments(LONG, first)),
        (second, segments([200], second, seed=1)),
        (third, forks),
    ]
    one_lane = learnt(base, jobs, 1)
    for _ in range(2):
        rows, gradients = learnt(base, jobs, most)
        for found, known in zip(rows, one_lane[0], strict=True):
            torch.testing.assert_close(
                torch.tensor(found), torch.tensor(known), rtol=1e-5, atol=1e-5
            )
        for ours, expected in zip(gradients, one_lane[1], strict=True):
            torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5)


def test_the_same_pass_gives_the_same_bits(base: Base) -> None:
    jobs = [(adapter, segments(LONG, adapter, seed=i)) for i, adapter in enumerate(adapters(base))]
    found = [learnt(base, jobs, 2) for _ in range(4)]
    for rows, gradients in found[1:]:
        assert rows == found[0][0]
        assert all(map(torch.equal, gradients, found[0][1]))


def test_dropout_draws_the_same_masks_whatever_the_lanes(base: Base) -> None:
    dropping, plain, other = adapters(base, lora_dropout=0.3)
    jobs = [
        (one, segments([80, 70, 60], one, seed=i)) for i, one in enumerate((dropping, plain, other))
    ]
    found = []
    for most in (1, 2, 3):
        for adapter, _ in jobs:
            adapter.dropout.manual_seed(5)
        found.append(learnt(base, jobs, most))
    for rows, gradients in found[1:]:
        torch.testing.assert_close(
            torch.tensor(rows), torch.tensor(found[0][0]), rtol=1e-5, atol=1e-5
        )
        for ours, expected in zip(gradients, found[0][1], strict=True):
            torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5)


def test_a_nan_of_one_job_is_its_own_in_every_lane(base: Base) -> None:
    poisoned, sound, _ = adapters(base)
    alone = learnt(base, [(sound, segments(LONG, sound, seed=3))], 2)
    poisoned.master.fill_(torch.nan)
    poisoned.refresh()
    jobs = [(poisoned, segments(LONG, poisoned)), (sound, segments(LONG, sound, seed=3))]
    _, (bad, good) = learnt(base, jobs, 2)
    assert not bad.isfinite().all()
    torch.testing.assert_close(good, alone[1][0], rtol=1e-4, atol=1e-5)


def test_a_pass_that_failed_leaves_no_gradient_behind(
    base: Base,
) -> None:
    adapter = adapters(base)[0]
    items = segments(LONG, adapter)
    expected = learnt(base, [(adapter, items)], 2)[1][0]
    lost: list[int] = []

    def judge(_: Sequence[Segment], seen: Seen) -> Verdict:
        if not lost and threading.current_thread() is not threading.main_thread():
            lost.append(1)
            raise MemoryError
        return Verdict(loss=seen.nats.sum(), rows=seen.nats.detach()[:1, None])

    turn = Turn(
        Ask(items=items, judge=judge, learns=True, adapter=adapter, budget=Budget(4096)), base
    )
    lanes = lanes_of(base, 2)
    with pytest.raises(MemoryError):
        pass_through(base, [turn], lanes)
    turn.restart()
    pass_through(base, [turn], lanes)
    assert lost
    torch.testing.assert_close(adapter.grad, expected, rtol=1e-5, atol=1e-6)


def test_fewer_lanes_are_tried_where_the_most_would_be_uneven() -> None:
    lanes = deal([Load(items=segments([1000] + [100] * 10))], 4)
    assert rows(lanes) == [1000, 1000]
