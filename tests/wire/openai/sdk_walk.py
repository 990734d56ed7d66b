"""A walk over the whole OpenAI door with an unmodified `openai` package.

Run by the Python of an environment that holds one version of the package and nothing of ours:
`python sdk_walk.py` with OPENAI_BASE_URL and OPENAI_API_KEY set, as any program is pointed here.
Every answer is held to the package's own types. It ends with exit code 0, or with what was wrong.
"""

import hashlib
import json
import sys
import time
from collections.abc import Callable
from typing import Any, TypeVar

import openai
from openai import BadRequestError, NotFoundError, OpenAI

Error = TypeVar("Error", bound=openai.APIStatusError)

MODEL = "tiny-chat"
FINAL = ("succeeded", "failed", "cancelled")
PATIENCE_S = 240
QUESTION: Any = [{"role": "user", "content": "Say the colour of grass."}]


class Walk:
    """One client, and how many requests it has made."""

    def __init__(self) -> None:
        self.n_requests = 0
        counting = openai.DefaultHttpxClient(event_hooks={"request": [self._count]})
        self.client = OpenAI(http_client=counting, _strict_response_validation=True)

    def _count(self, request: object) -> None:
        self.n_requests += 1

    def refused(self, kind: type[Error], call: Callable[[], object]) -> Error:
        """The error that `call` ends with, after one request: the client did not try again."""
        before = self.n_requests
        refusal: Error | None = None
        try:
            call()
        except kind as error:
            refusal = error
        assert refusal is not None, f"{kind.__name__} was expected"
        assert self.n_requests == before + 1, "the client tried again"
        assert refusal.request_id, "no x-request-id"
        return refusal


def rows(n_rows: int) -> bytes:
    """A training file."""
    lines = [
        {
            "messages": [
                {"role": "user", "content": f"Say the colour number {number}."},
                {"role": "assistant", "content": "Green." if number % 2 else "Blue."},
            ]
        }
        for number in range(n_rows)
    ]
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


def walk_files(walk: Walk) -> str:
    """Files, whole and in parts; the id of one to train on."""
    files, data = walk.client.files, rows(12)
    file = files.create(file=("colours.jsonl", data), purpose="fine-tune")
    assert (file.bytes, file.filename, file.purpose) == (len(data), "colours.jsonl", "fine-tune")
    assert files.wait_for_processing(file.id).status == "processed"
    assert files.retrieve(file.id).id == file.id
    assert files.content(file.id).read() == data
    assert file.id in [one.id for one in files.list(purpose="fine-tune", limit=1)]
    again = files.create(
        file=data,
        purpose="user_data",
        expires_after={"anchor": "created_at", "seconds": 3600},
    )
    assert again.expires_at is not None
    assert files.delete(again.id).deleted
    error = walk.refused(NotFoundError, lambda: files.retrieve(again.id))
    assert error.param == "id"
    assert f"No such File object: {again.id}" in error.message
    wrong = walk.refused(
        BadRequestError, lambda: files.create(file=("x.jsonl", b"[1]\n"), purpose="fine-tune")
    )
    assert "Line 1 is not a dictionary" in wrong.message or "line 1" in wrong.message
    return file.id


def walk_uploads(walk: Walk) -> str:
    """Chunked uploads, by hand and by the package's own helper."""
    uploads, data = walk.client.uploads, rows(40)
    whole = uploads.upload_file_chunked(
        file=data,
        filename="chunked.jsonl",
        bytes=len(data),
        mime_type="text/jsonl",
        purpose="fine-tune",
        part_size=1000,
        md5=hashlib.md5(data).hexdigest(),
    )
    assert whole.status == "completed"
    assert whole.file is not None
    assert walk.client.files.content(whole.file.id).read() == data
    pending = uploads.create(
        bytes=10, filename="x.jsonl", mime_type="text/jsonl", purpose="fine-tune"
    )
    part = uploads.parts.create(pending.id, data=b"0123456789")
    assert part.upload_id == pending.id
    assert uploads.cancel(pending.id).status == "cancelled"
    walk.refused(BadRequestError, lambda: uploads.complete(pending.id, part_ids=[part.id]))
    return whole.file.id


def walk_jobs(walk: Walk, file_id: str, validation_id: str) -> str:
    """A job from create to success; the name of its model."""
    jobs = walk.client.fine_tuning.jobs
    tag = f"walk-{time.time_ns()}"
    job = jobs.create(
        model=MODEL,
        training_file=file_id,
        validation_file=validation_id,
        suffix="walk",
        seed=7,
        metadata={"tag": tag, "team": "paint"},
        method={
            "type": "supervised",
            "supervised": {"hyperparameters": {"n_epochs": 2, "batch_size": 4}},
        },
        hyperparameters={"n_epochs": 9},
    )
    assert (job.status, job.seed, job.hyperparameters.n_epochs) == ("validating_files", 7, 2)
    assert [one.id for one in jobs.list(metadata={"tag": tag})] == [job.id]
    assert job.id in [one.id for one in jobs.list(limit=1)]
    done = wait(walk, job.id, FINAL)
    assert done.status == "succeeded", done.error
    assert done.error is None
    assert isinstance(done.hyperparameters.learning_rate_multiplier, float | int)
    assert done.trained_tokens
    assert done.finished_at
    assert len(done.result_files) == 1
    table = walk.client.files.content(done.result_files[0]).read().decode()
    assert table.startswith("step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy")
    walk_events(walk, job.id)
    error = walk.refused(BadRequestError, lambda: jobs.cancel(job.id))
    assert job.id in error.message
    unknown = walk.refused(NotFoundError, lambda: jobs.retrieve("ftjob-nope"))
    assert unknown.code == "fine_tune_not_found"
    assert unknown.param == "fine_tune_id"
    model: str = done.fine_tuned_model
    return model


def walk_events(walk: Walk, job_id: str) -> None:
    """What is told of a finished job."""
    jobs = walk.client.fine_tuning.jobs
    messages = [event.message for event in jobs.list_events(job_id, limit=2)]
    assert messages[0] == "The job has successfully completed"
    assert messages[-1] == f"Created fine-tuning job: {job_id}"
    metrics = [event for event in jobs.list_events(job_id) if event.type == "metrics"]
    assert [step_of(event) for event in metrics] == list(range(len(metrics), 0, -1))
    assert jobs.list_events(job_id, after="after", limit=0).data == []


def step_of(event: Any) -> object:  # noqa: ANN401
    """The step that a metrics event is about."""
    return event.data["step"]


def walk_preferences(walk: Walk) -> None:
    """A job on preferences from upload to success."""
    jobs = walk.client.fine_tuning.jobs
    answers = [[{"role": "assistant", "content": word}] for word in ("Green.", "No.")]
    lines = [
        {
            "input": {
                "messages": [{"role": "user", "content": f"Say the colour number {number}."}]
            },
            "preferred_output": answers[0],
            "non_preferred_output": answers[1],
        }
        for number in range(12)
    ]
    data = "".join(json.dumps(line) + "\n" for line in lines).encode()
    file = walk.client.files.create(file=("preferences.jsonl", data), purpose="fine-tune")
    job = jobs.create(
        model=MODEL,
        training_file=file.id,
        method={
            "type": "dpo",
            "dpo": {"hyperparameters": {"beta": 0.2, "n_epochs": 2, "batch_size": 4}},
        },
    )
    assert preferring(job).beta == 0.2
    done = wait(walk, job.id, FINAL)
    assert done.status == "succeeded", done.error
    assert preferring(done).beta == 0.2
    assert isinstance(preferring(done).learning_rate_multiplier, float | int)
    metrics: list[Any] = [e.data for e in jobs.list_events(job.id) if e.type == "metrics"]
    assert [data["step"] for data in metrics] == [6, 5, 4, 3, 2, 1]
    assert metrics[0]["train_rewards_margins"] > 0
    table = walk.client.files.content(done.result_files[0]).read().decode()
    assert table.startswith("step,train_loss,train_rewards_chosen,train_rewards_rejected")
    for checkpoint in jobs.checkpoints.list(job.id):
        assert checkpoint.metrics.train_loss is not None
    assert walk.client.models.delete(done.fine_tuned_model).deleted


def preferring(job: Any) -> Any:  # noqa: ANN401
    """The hyperparameters of a job on preferences."""
    assert job.method.type == "dpo"
    return job.method.dpo.hyperparameters


def walk_states(walk: Walk, file_id: str) -> None:
    """Pause, resume and cancel, and each of them where it cannot be."""
    jobs = walk.client.fine_tuning.jobs
    job = jobs.create(
        model=MODEL,
        training_file=file_id,
        hyperparameters={"n_epochs": 50, "batch_size": 1, "learning_rate_multiplier": 0.5},
    )
    wait(walk, job.id, ("queued", "running"))
    assert jobs.pause(job.id).status == "queued"
    assert "is paused" in walk.refused(BadRequestError, lambda: jobs.pause(job.id)).message
    assert jobs.resume(job.id).status == "queued"
    walk.refused(BadRequestError, lambda: jobs.resume(job.id))
    assert jobs.cancel(job.id).status == "cancelled"
    walk.refused(BadRequestError, lambda: jobs.cancel(job.id))
    walk.refused(BadRequestError, lambda: jobs.pause(job.id))
    walk.refused(BadRequestError, lambda: jobs.resume(job.id))


def walk_refusals(walk: Walk, file_id: str) -> None:
    """Jobs that cannot be, each refused by name."""
    jobs = walk.client.fine_tuning.jobs
    error = walk.refused(BadRequestError, lambda: jobs.create(model="nope", training_file=file_id))
    assert error.param == "model"
    assert MODEL in error.message
    error = walk.refused(
        BadRequestError, lambda: jobs.create(model=MODEL, training_file="file-nope")
    )
    assert error.param == "training_file"
    error = walk.refused(
        BadRequestError,
        lambda: jobs.create(model=MODEL, training_file=file_id, method={"type": "reinforcement"}),
    )
    assert error.param == "method.type"
    error = walk.refused(
        BadRequestError,
        lambda: jobs.create(model=MODEL, training_file=file_id, method={"type": "dpo"}),
    )
    assert (error.param, error.code) == ("training_file", "invalid_training_file")
    assert "is not using 'supervised' as the training method (provided method=dpo)" in error.message


def walk_models(walk: Walk, model: str) -> None:
    """Models and checkpoints by their names."""
    client = walk.client
    assert {MODEL, model} <= {one.id for one in client.models.list()}
    assert client.models.retrieve(model).owned_by
    walk.refused(BadRequestError, lambda: client.models.delete(MODEL))
    [job] = [one for one in client.fine_tuning.jobs.list() if one.fine_tuned_model == model]
    checkpoints = list(client.fine_tuning.jobs.checkpoints.list(job.id, limit=1))
    assert checkpoints
    for checkpoint in checkpoints:
        assert checkpoint.fine_tuning_job_id == job.id
        assert checkpoint.metrics.train_loss is not None
        name = checkpoint.fine_tuned_model_checkpoint
        assert name == f"{model}:ckpt-step-{checkpoint.step_number}"
        walk_chat(walk, name)


def walk_chat(walk: Walk, model: str) -> None:
    """Answers of one model, whole and streamed."""
    create = walk.client.chat.completions.create
    answer = create(model=model, messages=QUESTION, temperature=0, max_tokens=12)
    text = answer.choices[0].message.content
    assert answer.model == model
    assert answer.usage is not None
    assert answer.usage.total_tokens > answer.usage.completion_tokens > 0
    chunks = list(
        create(
            model=model,
            messages=QUESTION,
            temperature=0,
            max_completion_tokens=12,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    assert "".join(one.choices[0].delta.content or "" for one in chunks if one.choices) == text
    assert chunks[-1].usage == answer.usage
    several = create(
        model=model, messages=QUESTION, seed=3, n=2, max_tokens=4, logprobs=True, top_logprobs=2
    )
    assert [choice.index for choice in several.choices] == [0, 1]
    again = create(model=model, messages=QUESTION, seed=3, n=2, max_tokens=4)
    assert [c.message for c in several.choices] == [c.message for c in again.choices]


def walk_completions(walk: Walk, model: str) -> None:
    """Raw text, and what cannot be asked."""
    client = walk.client
    answer = client.completions.create(
        model=model, prompt="The colour of", max_tokens=6, temperature=0, logprobs=1
    )
    assert answer.choices[0].logprobs is not None
    assert answer.usage is not None
    # Where a text goes on, OpenAI's own service sends a null that its package's type does not have.
    stream = OpenAI().completions.create(
        model=model, prompt="The colour of", max_tokens=6, temperature=0, stream=True
    )
    assert "".join(one.choices[0].text for one in stream) == answer.choices[0].text
    error = walk.refused(
        BadRequestError,
        lambda: client.completions.create(model=model, prompt="word " * 3000),
    )
    assert error.code == "context_length_exceeded"
    error = walk.refused(
        BadRequestError,
        lambda: client.chat.completions.create(model=model, messages=QUESTION, temperature=9),
    )
    assert error.param == "temperature"
    unknown = walk.refused(
        NotFoundError,
        lambda: client.chat.completions.create(model="ft:nope", messages=QUESTION),
    )
    assert unknown.code == "model_not_found"


def walk_end(walk: Walk, model: str) -> None:
    """A deleted model is gone."""
    assert walk.client.models.delete(model).deleted
    walk.refused(NotFoundError, lambda: walk.client.models.retrieve(model))
    walk.refused(
        NotFoundError,
        lambda: walk.client.chat.completions.create(model=model, messages=QUESTION),
    )


def wait(walk: Walk, job_id: str, statuses: tuple[str, ...]) -> Any:  # noqa: ANN401
    """The job once it is in one of `statuses`."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        job = walk.client.fine_tuning.jobs.retrieve(job_id)
        if job.status in statuses:
            return job
        assert job.status not in FINAL, job.error
        assert time.monotonic() < deadline, f"{job_id} is still {job.status}"
        time.sleep(0.2)


def main() -> None:
    """Walk from upload to delete."""
    walk = Walk()
    file_id = walk_files(walk)
    other_id = walk_uploads(walk)
    walk_refusals(walk, file_id)
    model = walk_jobs(walk, file_id, other_id)
    walk_preferences(walk)
    walk_states(walk, other_id)
    walk_models(walk, model)
    walk_chat(walk, MODEL)
    walk_chat(walk, model)
    walk_completions(walk, model)
    walk_end(walk, model)
    sys.stdout.write(f"openai {openai.__version__}: {walk.n_requests} requests, all as expected\n")


if __name__ == "__main__":
    main()
