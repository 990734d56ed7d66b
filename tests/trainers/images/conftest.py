"""Pictures of a ring, and requests to learn it."""

import io
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from threading import Event

import msgspec
import pytest
from diffusers import FluxPipeline
from PIL import Image
from scripts.tiny_image.pictures import TRIGGER, a_scene, described, drawn

from tunery.bases.catalog import BUILT_IN
from tunery.core.hyperparameters import ResolvedHyperparameters
from tunery.core.progress import AnyProgress, Metrics, RunRequest, SubjectRequest
from tunery.modeling.flux import manner
from tunery.trainers.failures import FOR_PICTURES, told
from tunery.trainers.images import examples, known, samples
from tunery.trainers.images.attempt import carry_out

TINY_IMAGE = BUILT_IN / "tiny-image"

Captioned = tuple[Image.Image, str | None]
Changed = Callable[..., RunRequest]


def rings(n: int, *, seed: int = 21, shape: str = "ring") -> list[Captioned]:
    """Pictures of a shape that tiny-image has never seen, captioned under the trigger word."""
    random = Random(seed)
    scenes = [a_scene(random, shape) for _ in range(n)]
    pictures = [Image.fromarray(drawn(scene, random)) for scene in scenes]
    return [
        (picture, described(scene, random, TRIGGER))
        for picture, scene in zip(pictures, scenes, strict=True)
    ]


def write_set(path: Path, pictures: Sequence[Captioned]) -> Path:
    """A file as `core.picture_sets` says."""
    with zipfile.ZipFile(path, "w") as archive:
        for number, (image, caption) in enumerate(pictures, start=1):
            file = io.BytesIO()
            image.save(file, "PNG")
            archive.writestr(f"{number:04}.png", file.getvalue())
            if caption is not None:
                archive.writestr(f"{number:04}.txt", caption)
    return path


def run(request: RunRequest, pause: Event | None = None) -> list[AnyProgress]:
    """All that the job reports."""
    assert request.subject is not None
    return list(told(carry_out(request, request.subject, pause or Event()), FOR_PICTURES))


def losses(values: Sequence[AnyProgress]) -> list[tuple[int, float, float]]:
    """What must not depend on interruptions: step, loss and rate."""
    return [
        (value.step, value.train_loss, value.learning_rate)
        for value in values
        if isinstance(value, Metrics)
    ]


@pytest.fixture
def little_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Less is drawn before the first step and on the way, which takes seconds otherwise."""

    def quick(pipeline: FluxPipeline) -> dict[str, object]:
        return {**manner(pipeline), "num_inference_steps": 2}

    monkeypatch.setattr(examples, "MOST_KNOWN", 4)
    monkeypatch.setattr(known, "_MOST_WORDS", 4)
    monkeypatch.setattr(samples, "manner", quick)


@pytest.fixture
def blobs(tmp_path: Path) -> Path:
    """The folder that blob keys start from, with a picture set."""
    folder = tmp_path / "blobs"
    (folder / "files").mkdir(parents=True)
    write_set(folder / "files" / "rings", rings(5))
    return folder


@pytest.fixture
def request_(blobs: Path, little_drawn: None) -> RunRequest:
    """Eight steps with an adapter."""
    return RunRequest(
        job_id="ftjob-0123456789abcdef01234567",
        base_model="tiny-image",
        location=str(TINY_IMAGE),
        training_file=str(blobs / "files" / "rings"),
        validation_file=None,
        blobs=str(blobs),
        folder="runs/ftjob-0123456789abcdef01234567/1",
        hyperparameters=ResolvedHyperparameters(
            n_epochs=4, batch_size=2, learning_rate_multiplier=1.0, learning_rate=4e-3
        ),
        r=4,
        lora_alpha=4,
        lora_dropout=0.0,
        target_modules="all-linear",
        seed=7,
        overlong="error",
        threads=1,
        subject=SubjectRequest(
            trigger_word=TRIGGER,
            mode="general",
            iterations=8,
            captioning=True,
            priority="quality",
            finetune_type="lora",
        ),
    )


@pytest.fixture
def changed(request_: RunRequest) -> Changed:
    """The request with some fields changed, its own or those of its subject."""

    def change(**fields: object) -> RunRequest:
        assert request_.subject is not None
        of_subject = set(SubjectRequest.__struct_fields__) & set(fields)
        subject = msgspec.structs.replace(
            request_.subject, **{name: fields.pop(name) for name in of_subject}
        )
        return msgspec.structs.replace(request_, subject=subject, **fields)

    return change
