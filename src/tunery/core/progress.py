"""What an engine reports while it carries out a job.

A closed union. A trainer says one value after the other, the worker applies each. They are
`msgspec` structs, not dataclasses, because a tagged union must be told apart again on the other
side of a pipe.
"""

from typing import Literal

import msgspec

from tunery.core.hyperparameters import Precision, ResolvedHyperparameters
from tunery.core.method import FinetuneType, Mode, Priority
from tunery.core.models import Quantization


class Progress(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", omit_defaults=True):
    """The root of all that can be reported."""


class Alive(Progress, frozen=True, kw_only=True, tag="alive"):
    """Nothing new, every second or so of silence."""


class Note(Progress, frozen=True, kw_only=True, tag="note"):
    """Something the job's owner should read: it becomes an event."""

    message: str
    level: Literal["info", "warn", "error"] = "info"


class Metrics(Progress, frozen=True, kw_only=True, tag="metrics"):
    """One optimizer step. Losses are means over taught tokens, in nats; accuracies from 0 to 1.

    A model of images has no tokens; its loss is a mean over latent pixels, squared. Where
    preferences are learnt, losses are means over pairs (Rafailov et al. 2023, eq. 7), and there are
    rewards (section 4), in TRL's words: of the better answers, of the others, what lies between
    them, and how often it is above zero.
    """

    step: int
    total_steps: int
    train_loss: float
    learning_rate: float
    train_mean_token_accuracy: float | None = None
    trained_tokens: int | None = None
    """Taught tokens seen by the whole job so far, over all its attempts."""
    tokens_per_second: float | None = None
    remaining_s: float | None = None
    epoch: float | None = None
    """Passes over the data so far, as a fraction."""
    full_valid_loss: float | None = None
    """Where this step was an evaluation: over the whole validation file."""
    full_valid_mean_token_accuracy: float | None = None
    train_rewards_chosen: float | None = None
    train_rewards_rejected: float | None = None
    train_rewards_margins: float | None = None
    train_rewards_accuracies: float | None = None
    full_valid_rewards_chosen: float | None = None
    full_valid_rewards_rejected: float | None = None
    full_valid_rewards_margins: float | None = None
    full_valid_rewards_accuracies: float | None = None


class CheckpointSaved(Progress, frozen=True, kw_only=True, tag="checkpoint"):
    """A checkpoint is whole and on disk; publishing it is the worker's part."""

    step: int
    folder: str
    """The blob key of its folder."""
    metrics: Metrics


class Sampled(Progress, frozen=True, kw_only=True, tag="sampled"):
    """What the model draws at this step for the job's fixed prompts and seeds."""

    step: int
    image: str
    """The blob key of a PNG with one image per prompt, side by side."""
    prompts: tuple[str, ...]
    seed: int


class TextSample(msgspec.Struct, frozen=True, kw_only=True):
    """What a model says to a prompt, the likeliest token at each place."""

    prompt: str
    answer: str


class SampledText(Progress, frozen=True, kw_only=True, tag="sampled_text"):
    """What the model says at this step to the job's fixed prompts; step 0 is before the first."""

    step: int
    samples: tuple[TextSample, ...]


class Paused(Progress, frozen=True, kw_only=True, tag="paused"):
    """The run has let go as it was asked to; what it had is in its last checkpoint."""


class Died(Progress, frozen=True, kw_only=True, tag="died"):
    """The trainer ended without a word. The job goes on from its last checkpoint."""

    message: str


class Failed(Progress, frozen=True, kw_only=True, tag="failed"):
    """The job cannot go on."""

    code: str
    message: str
    param: str | None = None


class Finished(Progress, frozen=True, kw_only=True, tag="finished"):
    """All steps are done and the adapter is on disk."""

    adapter: str
    """The blob key of the adapter's folder."""
    trained_tokens: int | None = None


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """How many of the held-out golden records a model answered."""

    n: int
    exact_match: int
    """The same SQL, but for how it is written."""
    execution_match: int
    """SQL with the same result."""


class Evaluated(Progress, frozen=True, kw_only=True, tag="evaluated"):
    """Base and tuned model on the same questions, none of which was trained on."""

    base: Score
    tuned: Score


AnyProgress = (
    Alive
    | Note
    | Metrics
    | CheckpointSaved
    | Sampled
    | SampledText
    | Paused
    | Died
    | Failed
    | Evaluated
    | Finished
)


class SubjectRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a trainer of images needs to know beside; fields as in `core.method.Subject`."""

    trigger_word: str
    mode: Mode
    iterations: int
    captioning: bool
    priority: Priority
    finetune_type: FinetuneType
    caption_model: str | None = None
    """A folder, or a Hugging Face id, of a model that describes pictures; None: by templates."""


class RunRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All that a trainer needs to know of one attempt.

    Every path is one of this machine. What the trainer reports under `folder` are blob keys: the
    paths it writes, relative to `blobs`.
    """

    job_id: str
    base_model: str
    """The name, for the model card."""
    location: str
    """A folder, or a Hugging Face id `org/name[@revision]`."""
    training_file: str
    validation_file: str | None
    blobs: str
    """The folder that blob keys start from."""
    folder: str
    """The blob key `runs/<job>/<token>` under which this attempt alone writes."""
    hyperparameters: ResolvedHyperparameters
    r: int
    lora_alpha: float
    lora_dropout: float
    target_modules: tuple[str, ...] | Literal["all-linear"]
    seed: int
    overlong: Literal["error", "drop", "truncate"]
    sample_prompts: tuple[str, ...] | None = None
    """What the model is asked while it learns; None: the first rows of the validation file."""
    initial_adapter: str | None = None
    """The blob key of the adapter that a continued job starts from."""
    resume_from: str | None = None
    """The blob key of the checkpoint to go on from."""
    quantization: Quantization | None = None
    """How the base is kept; one that is kept otherwise is another base."""
    precision: Precision | None = None
    """What it computes in, of which the same holds; None: bf16 on a GPU, fp32 on a CPU."""
    trained_model: str | None = None
    """The name that the tuned model will have, for the model card."""
    checkpoint_seconds: float = 300.0
    """At least one checkpoint in so many seconds, beside the one at the end of each epoch."""
    threads: int | None = None
    subject: SubjectRequest | None = None
    """None: a text model is trained. `training_file` is then a ZIP, as `picture_sets` says."""

    @property
    def base(self) -> tuple[str, Quantization | None, Precision | None]:
        """Which base it is, and in which form: one process holds one."""
        return self.location, self.quantization, self.precision


class PreflightRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What to look at before a job starts; what `tunery.trainers.preflight` is given."""

    location: str
    training_file: str
    validation_file: str | None = None
    overlong: Literal["error", "drop", "truncate"] = "error"
    n_epochs: int | None = None
    """None where "auto", like the two below: the report resolves them."""
    batch_size: int | None = None
    r: int = 16
    lora_alpha: float = 32
    lora_dropout: float = 0.0
    target_modules: tuple[str, ...] | Literal["all-linear"] = "all-linear"
    quantization: Quantization | None = None
    precision: Precision | None = None
    """None: as is found to be faster."""
    measurements: str | None = None
    """The folder where it is kept what was measured of this machine; None: nothing is measured."""
    tokens: str | None = None
    """The folder where the rows' tokens are kept for the job's trainer; None: they are not."""
    estimate: bool = True
    """Whether to load the model for a short measured probe of time and memory."""
    threads: int | None = None
