"""What is measured on a GPU runs to its end on a processor, with tiny shapes."""

import subprocess
import sys
from contextlib import redirect_stdout
from importlib import import_module
from io import StringIO

import pytest
import torch
from transformers import AutoModelForCausalLM

from benchmarks import gpu, gpu_task, rivals

# PEFT 0.21 asks transformers 5 by an old name; TRL's trainer warns of much that is of no matter.
pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """What would be processes of their own, without their start."""

    def said(module: str, *arguments: str, threads: int) -> bytes:
        with redirect_stdout(StringIO()) as output:
            import_module(module).main(*arguments)
        return output.getvalue().splitlines()[-1].encode()

    monkeypatch.setattr(rivals, "said", said)


@pytest.mark.usefixtures("in_this_process")
def test_every_comparison_is_made() -> None:
    found = gpu.comparisons(tiny=True)
    assert len(found) == 6
    for comparison in found:
        assert comparison.trouble == ""
        assert comparison.ratio is not None
        assert comparison.ratio > 0
    assert {comparison.unit for comparison in found} == {"tok/s", "GiB", "s"}


def test_a_side_that_fails_says_why_and_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def said(module: str, *arguments: str, threads: int) -> bytes:
        asked.append(module)
        if module == "benchmarks.rival_gpu":
            raise RuntimeError("Traceback\ntorch.OutOfMemoryError: CUDA out of memory")
        return b'{"seconds": 2, "tokens": 100, "peak_bytes": 1073741824}'

    monkeypatch.setattr(rivals, "said", said)
    found = gpu.comparisons(tiny=True)
    pace, memory, *_ = found
    assert pace.ours == [50]
    assert pace.theirs == []
    assert pace.trouble == "torch.OutOfMemoryError: CUDA out of memory"
    assert memory.ours == [1]
    assert asked.count("benchmarks.gpu_ours") == 4


def test_without_a_gpu_real_shapes_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["gpu"])
    with pytest.raises(SystemExit):
        gpu.main()
    assert "no CUDA device" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("shape", "millions"), [("Qwen3-0.6B", (590, 600)), ("Llama-3.1-8B", (8000, 8050))]
)
def test_the_shapes_are_those_of_the_models(shape: str, millions: tuple[int, int]) -> None:
    kind, options = gpu_task.SHAPES[shape]
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(kind(**options))
    low, high = millions
    assert low < sum(weight.numel() for weight in model.parameters()) / 1e6 < high
    task = gpu_task.Task(shape=shape, n_tokens=8, n_rows=1, n_steps=1, warm_up=0)
    assert gpu_task.random_rows(task, 3).max() < options["vocab_size"]


@pytest.mark.long
def test_the_program_runs_to_its_end_with_tiny_shapes() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu", "--tiny"], capture_output=True, check=True
    )
    assert b"small jobs" in ended.stdout


@pytest.mark.gpu
@pytest.mark.long
def test_it_runs_to_its_end_on_a_gpu() -> None:
    subprocess.run([sys.executable, "-m", "benchmarks.gpu", "--tiny"], check=True)
