"""A walk through the gateway's door with an unmodified `openai` package, headers and all.

Run by the Python of an environment that holds one version of the package and nothing of ours:
`python sdk_walk.py` with OPENAI_BASE_URL (no `/v1`) and OPENAI_API_KEY set. Every answer is held to
the package's own types. It ends with exit code 0, or with what was wrong.
"""

import json
import sys
import time
from typing import Any

import openai
from openai import BadRequestError, OpenAI

MODEL = "openai-main/tiny-chat"
WORDS = ("queued", "running", "succeeded", "failed", "cancelled")
FINAL = WORDS[2:]
PATIENCE_S = 240
QUESTION: Any = [{"role": "user", "content": "Say the colour of grass."}]
TAG = f"walk-{time.time_ns()}"


def gateway(**headers: str) -> OpenAI:
    """The stock client as TrueFoundry's pages set it up."""
    return OpenAI(
        default_headers={
            "x-tfy-provider-name": "openai-main",
            "x-tfy-metadata": json.dumps({"tag": TAG, "team": "paint"}),
            "x-tfy-vertex-storage-bucket-name": "my-bucket",
            "x-tfy-request-timeout": "60000",
            **headers,
        },
        max_retries=0,
        _strict_response_validation=True,
    )


def rows() -> bytes:
    """A training file."""
    line = {
        "messages": [
            {"role": "user", "content": "Say a colour."},
            {"role": "assistant", "content": "Green."},
        ]
    }
    return (json.dumps(line) + "\n").encode() * 12


def walk_files(client: OpenAI) -> str:
    """Upload, read and list; the id of a file to train on."""
    files = client.files
    file = files.create(file=("colours.jsonl", rows()), purpose="fine-tune")
    assert (file.purpose, file.status) == ("fine-tune", "processed")
    assert files.retrieve(file.id).id == file.id
    assert file.id in [one.id for one in files.list(purpose="fine-tune")]
    assert files.content(file.id).read() == rows()
    return file.id


def walk_job(client: OpenAI, file_id: str) -> str:
    """A job from create to success; the name of its model."""
    jobs = client.fine_tuning.jobs
    made = jobs.with_raw_response.create(
        model=MODEL,
        training_file=file_id,
        metadata={"team": "brush"},
        hyperparameters={"n_epochs": 1, "batch_size": 4, "learning_rate_multiplier": 1},
    )
    assert made.headers["x-tfy-resolved-model"] == "tiny-chat"
    job = made.parse()
    assert (job.model, job.status) == ("tiny-chat", "queued")
    assert job.metadata == {"tag": TAG, "team": "brush"}
    assert [one.id for one in jobs.list(metadata={"tag": TAG, "team": "brush"})] == [job.id]
    done = wait(client, job.id)
    assert done.status == "succeeded", done.error
    assert {event.type for event in jobs.list_events(job.id)} == {"message", "metrics"}
    assert [one.fine_tuning_job_id for one in jobs.checkpoints.list(job.id)] == [job.id]
    model: str = done.fine_tuned_model
    return model


def walk_cancel(client: OpenAI, file_id: str) -> None:
    """A job whose model the header names is cancelled."""
    jobs = gateway(**{"x-tfy-provider-model": "tiny-chat"}).fine_tuning.jobs
    job = jobs.create(model="gpt-4o-mini", training_file=file_id)
    assert job.model == "tiny-chat"
    assert jobs.cancel(job.id).status == "cancelled"
    assert client.fine_tuning.jobs.retrieve(job.id).status == "cancelled"


def walk_refusals(file_id: str) -> None:
    """Headers that choose nothing that there is."""
    for header, value in (
        ("x-tfy-provider-name", "moon"),
        ("x-tfy-provider-model", "moon"),
        ("x-tfy-metadata", "[]"),
        ("x-tfy-file-purpose", "moon"),
    ):
        jobs = gateway(**{header: value}).fine_tuning.jobs
        # On a read it changes nothing.
        assert jobs.list(limit=1).data
        refused = None
        try:
            jobs.create(model=MODEL, training_file=file_id)
        except BadRequestError as error:
            refused = error
        assert refused is not None, header
        assert refused.param == header


def walk_chat(client: OpenAI, model: str) -> None:
    """Answers of the base and the tuned model, whole and streamed."""
    create = client.chat.completions.create
    for name in (MODEL, model, f"openai-main/{model}"):
        answer = create(model=name, messages=QUESTION, temperature=0, max_tokens=8)
        assert answer.model == name
        chunks = create(model=name, messages=QUESTION, temperature=0, max_tokens=8, stream=True)
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        assert text == answer.choices[0].message.content
        assert client.models.retrieve(name).id == name


def wait(client: OpenAI, job_id: str) -> Any:  # noqa: ANN401
    """The job once it is over; until then it says only what the gateway's clients know."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        job = client.fine_tuning.jobs.retrieve(job_id)
        assert job.status in WORDS, job.status
        if job.status in FINAL:
            return job
        assert time.monotonic() < deadline, f"{job_id} is still {job.status}"
        time.sleep(0.2)


def main() -> None:
    """Walk from upload to chat."""
    client = gateway()
    file_id = walk_files(client)
    walk_cancel(client, file_id)
    walk_refusals(file_id)
    walk_chat(client, walk_job(client, file_id))
    assert client.files.delete(file_id).deleted
    sys.stdout.write(f"openai {openai.__version__}: as expected\n")


if __name__ == "__main__":
    main()
