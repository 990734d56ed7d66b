"""Train and chat as through TrueFoundry's gateway: the stock `openai` package and its headers.

The server needs an account of the name that the code asks for, in tunery.toml:

    [accounts.openai-main]
    kind = "local"

Set OPENAI_BASE_URL (with no `/v1`) and OPENAI_API_KEY, then:

    python examples/truefoundry.py questions.jsonl
"""

import argparse
import json
import time
from pathlib import Path

from openai import OpenAI

FINAL = ("succeeded", "failed", "cancelled")


def main() -> None:
    """Train on a file through an account, and ask the tuned model the file's first question."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, help="training rows, one conversation per line")
    parser.add_argument("--account", default="openai-main", help="the provider account")
    parser.add_argument("--model", default="tiny-chat", help="the base model")
    parser.add_argument("--epochs", type=int, help="passes over the data")
    arguments = parser.parse_args()

    client = OpenAI(
        default_headers={
            "x-tfy-provider-name": arguments.account,
            "x-tfy-metadata": json.dumps({"team": "support", "stage": "example"}),
        }
    )
    with arguments.file.open("rb") as rows:
        data = client.files.create(file=rows, purpose="fine-tune")
    created = client.fine_tuning.jobs.with_raw_response.create(
        model=f"{arguments.account}/{arguments.model}",
        training_file=data.id,
        hyperparameters={"n_epochs": arguments.epochs or "auto"},
    )
    job = created.parse()
    print(f"{job.id} is {job.status}, on {created.headers['x-tfy-resolved-model']}")
    while job.status not in FINAL:
        time.sleep(1)
        job = client.fine_tuning.jobs.retrieve(job.id)
    print(f"{job.id} is {job.status}, with {job.metadata}")
    if job.status != "succeeded" or job.fine_tuned_model is None:
        raise SystemExit(job.error.message if job.error else 1)

    *messages, _ = json.loads(arguments.file.read_text(encoding="utf-8").split("\n")[0])["messages"]
    answer = client.chat.completions.create(
        model=f"{arguments.account}/{job.fine_tuned_model}", messages=messages, temperature=0
    )
    print(messages[-1]["content"])
    print(answer.choices[0].message.content)


if __name__ == "__main__":
    main()
