"""A walk over Scale's door with an unmodified `scale-gp` package.

Run by the Python of an environment that holds one version of the package and nothing of ours:
`python sdk_walk.py` with SGP_CLIENT_BASE_URL and SGP_API_KEY set, as any program is pointed here.
Every answer is held to the package's own types. It ends with exit code 0, or with what was wrong.
"""

import json
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import httpx
import scale_gp
from scale_gp import (
    AuthenticationError,
    NotFoundError,
    SGPClient,
    UnprocessableEntityError,
)

Error = TypeVar("Error", bound=scale_gp.APIStatusError)

MODEL = "tiny-chat"
FINAL = ("COMPLETED", "FAILED", "CANCELED")
PATIENCE_S = 240


class Walk:
    """One client, and how many requests it has made."""

    def __init__(self) -> None:
        self.n_requests = 0
        counting = httpx.Client(event_hooks={"request": [self._count]}, timeout=60)
        self.client = SGPClient(http_client=counting, _strict_response_validation=True)
        first = next(iter(self.client.models.list()))
        self.account = first.account_id

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
        return refusal


def rows(n_rows: int) -> list[tuple[str, str]]:
    """Questions and their answers."""
    return [
        (f"Say the colour number {number}.", "Green." if number % 2 else "Blue, twice.")
        for number in range(n_rows)
    ]


def as_csv(n_rows: int) -> str:
    """A dataset of comma-separated values."""
    return "input,output\n" + "".join(f'"{a}","{b}"\n' for a, b in rows(n_rows))


def as_json_lines(n_rows: int) -> str:
    """A dataset of JSON lines."""
    return "".join(json.dumps({"prompt": a, "response": b}) + "\n" for a, b in rows(n_rows))


def walk_datasets(walk: Walk) -> tuple[str, str]:
    """Datasets of both formats; the ids of two to train on."""
    datasets = walk.client.training_datasets

    def create(text: str, name: str) -> Any:  # noqa: ANN401
        return datasets.create(
            account_id=walk.account, file=text, name=name, schema_type="GENERATION"
        )

    training, validation = create(as_csv(24), "colours"), create(as_json_lines(12), "more/colours")
    assert (training.name, validation.name) == ("colours", "more/colours")
    assert training.account_id == walk.account
    assert training.created_by_identity_type == "user"
    assert datasets.retrieve(training.id) == training
    for dataset, n_rows in ((training, 24), (validation, 12)):
        found = [(one.input, one.output) for one in datasets.contents.list(dataset.id)]
        assert found == rows(n_rows)
    # The client's own iterator ends, whatever the size of a page.
    listed = [one.id for one in datasets.list(limit=1)]
    assert {training.id, validation.id} <= set(listed)
    assert len(listed) == len(set(listed))
    gone = create(as_csv(10), "gone")
    assert datasets.delete(gone.id).success
    walk.refused(NotFoundError, lambda: datasets.retrieve(gone.id))
    walk.refused(NotFoundError, lambda: list(datasets.contents.list(gone.id)))
    wrong = walk.refused(UnprocessableEntityError, lambda: create("input,output\n1\n", "wrong"))
    assert "line 2: has 1 column" in str(wrong.body)
    walk.refused(
        UnprocessableEntityError,
        lambda: create("<_io.BufferedReader name='rows.csv'>", "wrong"),
    )
    walk.refused(
        UnprocessableEntityError,
        lambda: datasets.create(
            account_id=walk.account,
            file=as_csv(10),
            name="ranked",
            schema_type="RERANKING_QUESTIONS",
        ),
    )
    return training.id, validation.id


def walk_jobs(walk: Walk, training: str, validation: str) -> str:
    """A job from create to its end; the name of its model."""
    jobs = walk.client.fine_tuning_jobs
    job = jobs.create(
        account_id=walk.account,
        training_dataset_id=training,
        validation_dataset_id=validation,
        base_model_id=MODEL,
        vendor_configuration={
            "vendor": "LLMENGINE",
            "hyperparameters": {
                "epochs": "2",
                "batch_size": 8,
                "lr": 0.001,
                "warmup_ratio": 0.1,
                "weight_decay": "0.001",
                "peft_config": {"r": 8, "lora_alpha": 16},
            },
            "wandb_config": {"api_key": "a-secret-of-somebody", "project": "p"},
            "suffix": "walk",
            "output": "anywhere",
        },
    )
    assert job.status == "PENDING"
    assert job.vendor_configuration is not None
    assert job.vendor_configuration.vendor == "LLMENGINE"
    assert job.vendor_configuration.suffix == "walk"
    assert "a-secret-of-somebody" not in job.to_json()
    assert job.id in [one.id for one in jobs.list(limit=2)]
    done = wait(walk, job.id)
    events = list(jobs.events.list(job.id))
    assert done.status == "COMPLETED", events
    assert done.fine_tuned_model_id is not None
    assert [one.timestamp for one in events] == sorted(one.timestamp or 0 for one in events)
    assert any(one.message.startswith("Step 6/6") for one in events)
    return str(done.fine_tuned_model_id)


def walk_other_jobs(walk: Walk, training: str, model: str) -> None:
    """What else a job can be: of other vendors, continued, failed, refused, and deleted."""
    jobs = walk.client.fine_tuning_jobs

    def create(**more: Any) -> Any:  # noqa: ANN401
        return jobs.create(account_id=walk.account, training_dataset_id=training, **more)

    plain = create()
    assert (plain.base_model_id, plain.vendor_configuration) == (MODEL, None)
    launched = create(
        base_model_id=model, vendor_configuration={"hyperparameters": {"n_epochs": 1}}
    )
    assert launched.vendor_configuration.vendor == "LAUNCH"
    openai = create(vendor_configuration={"vendor": "OPENAI", "suffix": "o"})
    assert openai.vendor_configuration.suffix == "o"
    for job in (plain, launched, openai):
        deleted = jobs.delete(job.id)
        assert (deleted.count, deleted.success) == (1, True)
        walk.refused(NotFoundError, partial(jobs.retrieve, job.id))
    diverging = create(
        vendor_configuration={
            "vendor": "LLMENGINE",
            "hyperparameters": {"lr": 1e18, "warmup_ratio": 0, "epochs": 1},
        }
    )
    assert wait(walk, diverging.id).status == "FAILED"
    levels = [one.level for one in jobs.events.list(diverging.id)]
    assert levels[-1] == "error"
    for wrong in (
        {"vendor_configuration": {"vendor": "COHERE"}},
        {"vendor_configuration": {"hyperparameters": {"epoch": 1}}},
        {"base_model_id": "nope"},
        {"fine_tuned_model_id": model},
    ):
        walk.refused(UnprocessableEntityError, partial(create, **wrong))
    walk.refused(
        NotFoundError, lambda: jobs.create(account_id="other", training_dataset_id=training)
    )
    elsewhere = walk.client.with_options(account_id="other")
    walk.refused(NotFoundError, lambda: elsewhere.fine_tuning_jobs.list())
    stranger = walk.client.with_options(api_key="wrong")
    walk.refused(AuthenticationError, lambda: stranger.fine_tuning_jobs.list())


def walk_models(walk: Walk, model: str) -> str:
    """Models and their deployments; the id of the one that came with the tuned model."""
    models = walk.client.models
    listed = {one.id: one for one in models.list(model_type="CHAT_COMPLETION", limit=1)}
    assert {MODEL, model} <= set(listed)
    found = models.retrieve(model, view=["Deployments", "ModelGroup"])
    assert (found.base_model_id, found.deployment_count) == (MODEL, 1)
    assert found.deployments is not None
    [own] = found.deployments
    assert (own.status, own.model_instance_id) == ("READY", model)
    assert [one.id for one in models.deployments.list(model)] == [own.id]
    assert models.deployments.retrieve(own.id, model_instance_id=model) == own
    second = models.deployments.create(model, name="second", account_id=walk.account)
    assert second.status == "READY"
    everything = [one.id for one in models.deployments.list_all(sort_by=["name:asc"], limit=1)]
    assert {own.id, second.id} <= set(everything)
    walk.refused(NotFoundError, lambda: models.retrieve("nope"))
    return str(own.id)


def walk_deployment(walk: Walk, model: str, deployment: str) -> None:
    """Asking the deployment of a tuned model."""
    models = walk.client.models
    answer = models.completions.create(deployment, prompt="The colour", max_tokens=6, temperature=0)
    [[text]] = answer.completions
    assert isinstance(text, str)
    assert answer.finish_reason in ("stop", "length")
    assert (answer.response_tokens or 0) <= 6
    pieces = models.completions.create(
        deployment, prompt="The colour", max_tokens=6, temperature=0, stream=True
    )
    assert "".join(str(one.completions[0][0]) for one in pieces) == text
    chat = models.chat_completions.create(
        deployment,
        prompt="Say the colour number 3.",
        chat_history=[{"role": "system", "content": "Be short."}],
        temperature=0,
        logprobs=True,
        top_logprobs=2,
    )
    assert chat.choices is not None
    assert chat.choices[0].logprobs is not None
    chunks = models.chat_completions.create(
        deployment, prompt="Say the colour number 3.", chat_history=[], temperature=0, stream=True
    )
    assert "".join(str(one.completions[0][0]) for one in chunks)
    executed = models.deployments.execute(
        deployment,
        model_instance_id=model,
        extra_body={"prompt": "The colour", "max_tokens": 6, "temperature": 0},
    )
    assert executed["completions"] == [[text]]
    error = walk.refused(
        UnprocessableEntityError,
        lambda: models.completions.create(deployment, prompt="x", frequency_penalty=1),
    )
    assert "frequency_penalty" in str(error.body)
    walk.refused(
        UnprocessableEntityError,
        lambda: models.completions.create(deployment, prompt="word " * 3000),
    )


def walk_names(walk: Walk, model: str) -> None:
    """Asking models by their names."""
    for name in (MODEL, model):
        parameters: Any = {"temperature": 0, "max_tokens": 6}
        whole = walk.client.completions.create(
            model=name, prompt="The colour", model_parameters=parameters
        )
        assert whole.token_usage is not None
        pieces = walk.client.completions.create(
            model=name, prompt="The colour", model_parameters=parameters, stream=True
        )
        # The package reads these pieces as those of a deployment, whatever its documentation says.
        found: list[Any] = list(pieces)
        assert "".join(one.completions[0][0] for one in found) == whole.completion.text
        assert "".join(one.completion["text"] for one in found) == whole.completion.text
        messages: Any = [{"role": "user", "content": "Say the colour number 3."}]
        chat = walk.client.chat_completions.create(
            model=name, messages=messages, instructions="Be short.", model_parameters=parameters
        )
        assert chat.chat_completion.finish_reason in ("stop", "length")
        chunks: list[Any] = list(
            walk.client.chat_completions.create(
                model=name, messages=messages, model_parameters=parameters, stream=True
            )
        )
        said = "".join(one.chat_completion["message"]["content"] for one in chunks)
        assert said == "".join(one.completions[0][0] for one in chunks)
        assert chunks[-1].token_usage["total"] > 0


def wait(walk: Walk, job_id: str) -> Any:  # noqa: ANN401
    """The job once it is over."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        job = walk.client.fine_tuning_jobs.retrieve(job_id)
        if job.status in FINAL:
            return job
        assert time.monotonic() < deadline, f"{job_id} is still {job.status}"
        time.sleep(0.2)


def main() -> None:
    """Walk from upload to use."""
    walk = Walk()
    training, validation = walk_datasets(walk)
    model = walk_jobs(walk, training, validation)
    deployment = walk_models(walk, model)
    walk_deployment(walk, model, deployment)
    walk_names(walk, model)
    walk_other_jobs(walk, training, model)
    sys.stdout.write(
        f"scale-gp {scale_gp.__version__}: {walk.n_requests} requests, all as expected\n"
    )


if __name__ == "__main__":
    main()
