"""Twelve pictures teach tiny-image a shape it has never seen, and it keeps those that it knew."""

import sys
from pathlib import Path

import pytest
from diffusers import FluxPipeline
from scripts.tiny_image.judge import Judge, train
from scripts.tiny_image.measure import measured
from scripts.tiny_image.pictures import TRIGGER

from tests.trainers.images.conftest import TINY_IMAGE, rings, run, write_set
from tunery.bases.catalog import FolderCatalog
from tunery.core.method import FinetuneType, Subject
from tunery.core.plan import plan
from tunery.core.progress import Finished, RunRequest, SubjectRequest
from tunery.modeling.flux import load_pipeline

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(1200)]

# What BFL's door draws with where nothing else is asked for.
_STRENGTH = 1.1

# Colours and noise that no setting was chosen by.
_PICTURES, _PROMPTS = 11, 7000
_TAUGHT, _BEFORE, _KEPT = 0.6, 0.05, 0.8


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Judge:
    return train(tmp_path_factory.mktemp("judge"), load_pipeline(str(TINY_IMAGE)).vae)


def asked(blobs: Path, shape: str, finetune_type: FinetuneType, r: int) -> RunRequest:
    """What BFL's door makes of a call that names nothing but these."""
    path = write_set(blobs / "set", rings(12, seed=_PICTURES, shape=shape))
    subject = Subject(finetune_type=finetune_type)
    base = FolderCatalog(folders={}, aliases={}, cache=blobs).resolve("tiny-image")
    return RunRequest(
        job_id="ftjob-0123456789abcdef01234567",
        base_model="tiny-image",
        location=str(TINY_IMAGE),
        training_file=str(path),
        validation_file=None,
        blobs=str(blobs),
        folder="runs/ftjob-0123456789abcdef01234567/1",
        hyperparameters=plan(subject, n_examples=12, defaults=base.defaults).resolved,
        r=r,
        lora_alpha=r,
        lora_dropout=0.0,
        target_modules="all-linear",
        seed=1,
        overlong="error",
        subject=SubjectRequest(
            trigger_word=TRIGGER,
            mode=subject.mode,
            iterations=subject.iterations,
            captioning=subject.captioning,
            priority=subject.priority,
            finetune_type=finetune_type,
        ),
    )


def tuned(request: RunRequest) -> FluxPipeline:
    """The base with the adapter that the job handed over."""
    finished = run(request)[-1]
    assert isinstance(finished, Finished)
    pipeline = load_pipeline(request.location)
    pipeline.load_lora_weights(Path(request.blobs) / finished.adapter, adapter_name="tuned")
    pipeline.set_adapters("tuned", _STRENGTH)
    return pipeline


@pytest.mark.parametrize(
    ("shape", "finetune_type", "r"),
    [("ring", "full", 32), ("ring", "lora", 16), ("plus", "full", 32), ("hourglass", "full", 32)],
)
def test_a_new_shape_is_learnt_and_the_known_ones_stay(
    shape: str,
    finetune_type: FinetuneType,
    r: int,
    judge: Judge,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pipelines = {
        "before": load_pipeline(str(TINY_IMAGE)),
        "after": tuned(asked(tmp_path, shape, finetune_type, r)),
    }
    new, known = (
        {
            when: measured(pipeline, judge, n=n, seed=_PROMPTS, **what).shape  # type: ignore[arg-type]
            for when, pipeline in pipelines.items()
        }
        for n, what in ((64, {"words": (TRIGGER,), "shape": shape}), (100, {}))
    )
    with capsys.disabled():
        sys.stdout.write(f"{shape} {finetune_type} {r}: new {new}, known {known}\n")
    assert new["before"] < _BEFORE
    assert new["after"] >= _TAUGHT
    assert known["after"] >= _KEPT * known["before"]
