"""What an attempt needs before its first step: base, pictures, weights, and how far the job is."""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import FluxPipeline, FluxTransformer2DModel

from tunery.core.progress import Note, RunRequest, SubjectRequest
from tunery.modeling.flow import encoded_prompts
from tunery.modeling.flux import load_pipeline, native_side, resolve_pipeline
from tunery.modeling.optimizer import learning_rate
from tunery.trainers import disk, memory
from tunery.trainers.budget import Budget
from tunery.trainers.images import checkpoints
from tunery.trainers.images.captions import Describe, captions
from tunery.trainers.images.checkpoints import Position
from tunery.trainers.images.describing import describer
from tunery.trainers.images.examples import Encoded, Shelf, encoded, shelved
from tunery.trainers.images.image_lora import KEEPING, Lesson, lessons
from tunery.trainers.images.pictures import Picture, read_pictures
from tunery.trainers.images.samples import MOST_PROMPTS, Sampler
from tunery.trainers.images.weights import AdapterWeights, FullWeights, Weights
from tunery.trainers.resuming import check_same, resumed

# Pictures of a micro-batch to begin with.
_ROWS = 64

# What an attempt must agree on with the one that it goes on from.
_SAME = ("total_steps", "data_sha256", "batch_size", "finetune_type", "r", "seed")

# Few steps: the mean square of the gradient is to follow it within a hundred.
_BETAS = (0.9, 0.99)


@dataclass(kw_only=True)
class Training:
    """One attempt at a job, ready to learn.

    Attributes:
        position: how far the job has come.
        saved_step: the step of the last checkpoint of this attempt, or the one it began from.
    """

    request: RunRequest
    subject: SubjectRequest
    weights: Weights
    optimizer: torch.optim.AdamW
    shelves: Sequence[Shelf]
    sampler: Sampler
    budget: Budget
    position: Position
    saved_step: int

    def rate(self, step: int) -> float:
        """The learning rate of a step: up over the warm-up, then linear to zero."""
        asked = self.request.hyperparameters
        return learning_rate(
            step,
            n_steps=self.position.total_steps,
            peak=asked.learning_rate,
            warmup=asked.warmup_ratio,
            decay="linear",
        )

    def lessons(self) -> Iterator[Lesson]:
        """What each step that is left learns from."""
        return lessons(
            self.shelves,
            batch_size=self.position.batch_size,
            n_steps=self.position.total_steps,
            seed=self.position.seed,
            keeping=KEEPING[self.subject.finetune_type],
            first_step=self.position.step + 1,
        )

    def folder(self, name: str) -> tuple[str, Path]:
        """The blob key of something that this attempt writes, and where it is."""
        key = f"{self.request.folder}/{name}"
        return key, Path(self.request.blobs) / key


def prepare(request: RunRequest, subject: SubjectRequest) -> tuple[Training, list[Note]]:
    """Encode the pictures, draw what is known, and go on from the last checkpoint, if any."""
    folder = resolve_pipeline(request.location)
    pipeline = load_pipeline(request.location)
    side = native_side(pipeline)
    autocast = None if pipeline.dtype == torch.float32 else pipeline.dtype
    found, said = _read(request, subject, pipeline, autocast)
    prompts = encoded_prompts(pipeline, ["", *said])
    _let_go_of_encoders(pipeline)
    shelves = shelved(pipeline, found, seed=request.seed, autocast=autocast)
    _fit(pipeline.transformer, shelves, 2 * request.hyperparameters.batch_size)
    weights = _weights(request, subject, pipeline, folder)
    training = Training(
        request=request,
        subject=subject,
        weights=weights,
        optimizer=torch.optim.AdamW(
            weights.parameters.values(),
            betas=_BETAS,
            weight_decay=request.hyperparameters.weight_decay,
            fused=True,
        ),
        shelves=shelves,
        sampler=Sampler(
            pipeline,
            folder,
            said,
            prompts[slice(1, None)],
            prompts[slice(1)],
            side=side,
            seed=request.seed,
            autocast=autocast,
        ),
        budget=Budget(_ROWS),
        position=_beginning(request, subject, shelves),
        saved_step=0,
    )
    room = disk.about_room(Path(request.blobs), checkpoints.size_bytes(weights.parameters))
    return training, [*room, *_resume(training)]


def _read(
    request: RunRequest,
    subject: SubjectRequest,
    pipeline: FluxPipeline,
    autocast: torch.dtype | None,
) -> tuple[list[Encoded], list[str]]:
    """The pictures, encoded, and some of their captions to draw from time to time."""
    pictures = read_pictures(Path(request.training_file))
    said = captions(
        pictures,
        trigger_word=subject.trigger_word,
        mode=subject.mode,
        captioning=subject.captioning,
        describe=_describer(subject, pictures),
    )
    found = encoded(
        pipeline,
        pictures,
        said,
        trigger_word=subject.trigger_word,
        priority=subject.priority,
        n_learnt=subject.iterations * request.hyperparameters.batch_size,
        seed=request.seed,
        autocast=autocast,
    )
    return found, list(dict.fromkeys(said))[:MOST_PROMPTS]


def _describer(subject: SubjectRequest, pictures: Sequence[Picture]) -> Describe | None:
    """The captioning model, where there is one and something to say."""
    silent = any(picture.caption is None for picture in pictures)
    if subject.caption_model is None or not (subject.captioning and silent):
        return None
    return describer(subject.caption_model)


def _let_go_of_encoders(pipeline: FluxPipeline) -> None:
    """Free what is not needed while training: VAE, text encoders and tokenizers."""
    device = pipeline.transformer.device
    pipeline.register_modules(
        vae=None, text_encoder=None, text_encoder_2=None, tokenizer=None, tokenizer_2=None
    )
    gc.collect()
    memory.let_go(device)


def _fit(transformer: FluxTransformer2DModel, shelves: Sequence[Shelf], n_rows: int) -> None:
    """Compute activations twice instead of keeping them, where they would take half of the memory.

    Korthikanti et al. 2022, eq. 1, as in `memory.of_activations`.
    """
    config = transformer.config
    width = int(config.num_attention_heads) * int(config.attention_head_dim)
    n_layers = int(config.num_layers) + int(config.num_single_layers)
    n_tokens = max(shelf.flow.shape[0] + shelf.prompts.tokens.shape[1] for shelf in shelves)
    need = 68 * n_rows * n_tokens * width * n_layers
    if 2 * need > memory.available_bytes(transformer.device):
        transformer.enable_gradient_checkpointing()


def _weights(
    request: RunRequest, subject: SubjectRequest, pipeline: FluxPipeline, folder: Path
) -> Weights:
    if subject.finetune_type == "full":
        return FullWeights(pipeline.transformer, r=request.r, base=folder / "transformer")
    return AdapterWeights(
        pipeline.transformer, r=request.r, lora_alpha=request.lora_alpha, seed=request.seed
    )


def _beginning(request: RunRequest, subject: SubjectRequest, shelves: Sequence[Shelf]) -> Position:
    with Path(request.training_file).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Position(
        step=0,
        total_steps=subject.iterations,
        n_pictures=sum(len(shelf) for shelf in shelves),
        data_sha256=digest,
        batch_size=request.hyperparameters.batch_size,
        finetune_type=subject.finetune_type,
        r=request.r,
        seed=request.seed,
        max_rows=_ROWS,
    )


def _resume(training: Training) -> list[Note]:
    """Go on from the checkpoint that was asked for, or from the last whole one before it."""
    beginning = training.position

    def load(folder: Path) -> Position:
        position = checkpoints.position(folder)
        check_same(beginning, position, _SAME)
        checkpoints.restore(folder, weights=training.weights, optimizer=training.optimizer)
        return position

    position, notes = resumed(training.request, load)
    if position is not None:
        training.position, training.saved_step = position, position.step
        training.budget.max_rows = position.max_rows
    return notes
