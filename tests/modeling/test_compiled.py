"""What kernels are made of, against torch."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tunery.modeling import compiled
from tunery.modeling.compiled import Numbers, exp, kernel, numbers, read, rounded, serves

ODD = [math.nan, math.inf, -math.inf, 0.0, -0.0, 1e-40, -1e-40, 3.4e38, 1.0, -87.0, 88.0]


@kernel
def _copy(source: Numbers, target: Numbers) -> None:
    for i in range(source.size):
        target[i] = rounded(target, read(source[i]))


@kernel
def _exp(source: Numbers, target: Numbers) -> None:
    for i in range(source.size):
        target[i] = rounded(target, exp(read(source[i])))


def _through(copying: Callable[[Numbers, Numbers], None], x: Tensor, dtype: torch.dtype) -> Tensor:
    y = torch.empty(x.shape, dtype=dtype)
    copying(numbers(x), numbers(y))
    return y


def _numbers() -> Tensor:
    source = torch.Generator().manual_seed(0)
    bits = torch.randint(-(2**31), 2**31 - 1, (100_000,), generator=source, dtype=torch.int64)
    return torch.cat((torch.tensor(ODD), bits.to(torch.int32).view(torch.float32)))


@pytest.mark.parametrize("source", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("target", [torch.float32, torch.bfloat16])
def test_numbers_are_read_and_rounded_as_torch_does(
    source: torch.dtype, target: torch.dtype
) -> None:
    x = _numbers().to(source)
    torch.testing.assert_close(
        _through(_copy, x, target), x.to(target), rtol=0, atol=0, equal_nan=True
    )


def test_exp_is_right_to_three_in_ten_million() -> None:
    x = torch.linspace(-87.3, 88, 200_001)
    y = _through(_exp, x, torch.float32)
    torch.testing.assert_close(y.double(), x.double().exp(), rtol=3.2e-7, atol=0)


def test_exp_of_what_is_no_number_is_none_either() -> None:
    y = _through(_exp, torch.tensor([math.nan, 1.0] * 40), torch.float32)
    assert y[::2].isnan().all()
    assert y[1::2].isfinite().all()


def test_exp_beyond_its_range_ends_there() -> None:
    y = _through(_exp, torch.tensor([-1e30, -math.inf, 1e30, math.inf]), torch.float32)
    assert (y[:2] < 1.3e-38).all()
    assert (y[:2] >= 0).all()
    assert (y[2:] > 1.6e38).all()


def test_kernels_serve_numbers_of_one_known_type_on_the_cpu() -> None:
    x = torch.ones(1)
    assert serves(x, x)
    assert serves(x.bfloat16())
    assert not serves(x, x.bfloat16())
    assert not serves(x.double())
    assert not serves(torch.ones(1, device="meta"))


def test_a_kernel_is_kept_under_a_digest_of_what_it_is_made_of(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Otherwise one from before an upgrade would be taken from the disk."""

    def same(source: Numbers, target: Numbers) -> None:
        target[0] = source[0]

    def again(source: Numbers, target: Numbers) -> None:
        target[0] = source[0]

    again.__qualname__ = same.__qualname__
    before = kernel(same).__qualname__
    monkeypatch.setattr(compiled, "_parts", lambda _: "another")
    assert kernel(again).__qualname__ != before


def test_the_digest_follows_from_all_of_a_kernels_own_file(tmp_path: Path) -> None:
    """A part of a kernel that stands beside it may change, and the kernel's own lines not."""
    sources = [tmp_path / name for name in ("before", "after")]
    for source, factor in zip(sources, (2, 30), strict=True):
        source.write_text(f"FACTOR = {factor}")
    before, after = (compiled._parts(str(source)) for source in sources)
    assert before != after


def test_what_is_kept_of_a_kernel_can_be_loaded_before_its_first_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As in the process that trainers are forked from."""

    def first(source: Numbers, target: Numbers) -> None:
        target[0] = source[0]

    monkeypatch.setattr(compiled, "_KERNELS", [])
    x, y = torch.ones(1), torch.empty(1)
    kernel(first)(numbers(x), numbers(y))
    first.__qualname__ = first.__qualname__.partition("-")[0]
    again: Any = kernel(first)
    assert not again.signatures

    compiled.load_kept()
    assert len(again.signatures) == 1
    assert sum(again.stats.cache_hits.values()) == 1
    assert not again.stats.cache_misses


def test_no_folder_is_made_before_a_kernel_is_called(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def third(source: Numbers, target: Numbers) -> None:
        target[0] = source[0]

    kept = tmp_path / "kept"
    monkeypatch.setattr("numba.config.CACHE_DIR", str(kept))
    made = kernel(third)
    assert not kept.exists()
    made(numbers(torch.ones(1)), numbers(torch.empty(1)))
    assert list(kept.rglob("*third*.nbc"))


def test_a_full_disk_costs_a_kernel_no_more_than_its_keeping(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    def doubled(source: Numbers, target: Numbers) -> None:
        for i in range(source.size):
            target[i] = rounded(target, read(source[i]) + read(source[i]))

    monkeypatch.setattr("numba.core.caching.IndexDataCacheFile.save", full)
    x, y = torch.ones(3), torch.empty(3)
    kernel(doubled)(numbers(x), numbers(y))
    assert y.tolist() == [2, 2, 2]
    assert "No space left on device" in caplog.text
