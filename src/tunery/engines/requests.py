"""What a trainer is told about a job, with paths of this machine in it."""

from tunery.core.errors import Unavailable
from tunery.core.hyperparameters import Precision
from tunery.core.job import FineTuningJob
from tunery.core.method import Method, Preference, Subject, Supervised
from tunery.core.models import tuned_model_name
from tunery.core.ports import Blobs, Catalog, Run
from tunery.core.progress import PreflightRequest, RunRequest, SubjectRequest


class Requests:
    """Requests for jobs whose files and base models lie on this machine."""

    def __init__(
        self,
        *,
        blobs: Blobs,
        catalog: Catalog,
        checkpoint_seconds: float,
        threads: int | None,
        caption_model: str | None,
        precision: Precision | None = None,
    ) -> None:
        """All but the first two are told to every trainer as they are.

        A job keeps the precision that it was created with; this one is for new ones.
        """
        self._blobs = blobs
        self._catalog = catalog
        self._checkpoint_seconds = checkpoint_seconds
        self._threads = threads
        self._caption_model = caption_model
        self._precision = precision

    def run(self, run: Run) -> RunRequest:
        """What to do in this attempt; Unavailable where its job was never validated."""
        job = run.job
        if job.resolved is None:
            raise Unavailable(f"Job {job.id} was not validated.")
        base = self._catalog.resolve(job.base_model)
        return RunRequest(
            job_id=job.id,
            base_model=job.base_model,
            location=base.location,
            quantization=base.quantization,
            precision=job.resolved.precision or self._precision,
            training_file=self.path(job.training_file),
            validation_file=job.validation_file and self.path(job.validation_file),
            # A key is a path below this folder, on this machine.
            blobs=str(self._blobs.path("runs").parent),
            folder=run.folder,
            hyperparameters=job.resolved,
            r=job.lora.r,
            lora_alpha=job.lora.lora_alpha,
            lora_dropout=job.lora.lora_dropout,
            target_modules=job.lora.target_modules,
            seed=job.seed,
            overlong=job.overlong,
            sample_prompts=job.sample_prompts,
            initial_adapter=job.initial_adapter,
            resume_from=run.resume_from.folder if run.resume_from else None,
            trained_model=tuned_model_name(
                base_model=job.base_model,
                organization=job.organization_id,
                suffix=job.suffix,
                job_id=job.id,
            ),
            checkpoint_seconds=self._checkpoint_seconds,
            threads=self._threads,
            subject=self._subject(job.method),
        )

    def preflight(
        self, job: FineTuningJob, method: Supervised | Preference, *, estimate: bool
    ) -> PreflightRequest:
        """What to look at before `job`, whose method is this, starts."""
        asked, base = method.hyperparameters, self._catalog.resolve(job.base_model)
        return PreflightRequest(
            location=base.location,
            quantization=base.quantization,
            precision=self._precision,
            measurements=str(self._blobs.path("measurements")),
            # A dry run has no job that its tokens could wait for.
            tokens=None if estimate else str(self._blobs.path(f"runs/{job.id}/preflight")),
            training_file=self.path(job.training_file),
            validation_file=job.validation_file and self.path(job.validation_file),
            overlong=job.overlong,
            n_epochs=None if asked.n_epochs == "auto" else asked.n_epochs,
            batch_size=None if asked.batch_size == "auto" else asked.batch_size,
            r=job.lora.r,
            lora_alpha=job.lora.lora_alpha,
            lora_dropout=job.lora.lora_dropout,
            target_modules=job.lora.target_modules,
            estimate=estimate,
            threads=self._threads,
        )

    def path(self, file_id: str) -> str:
        """Where the bytes of a file are."""
        return str(self._blobs.path(f"files/{file_id}"))

    def _subject(self, method: Method) -> SubjectRequest | None:
        if not isinstance(method, Subject):
            return None
        return SubjectRequest(
            trigger_word=method.trigger_word,
            mode=method.mode,
            iterations=method.iterations,
            captioning=method.captioning,
            priority=method.priority,
            finetune_type=method.finetune_type,
            caption_model=self._caption_model,
        )
