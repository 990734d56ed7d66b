"""Upload, create, wait, ask: with the stock `scale-gp` package, and nothing of Tunery's.

Set SGP_CLIENT_BASE_URL and SGP_API_KEY, then:

    python examples/scale.py questions.csv

The file is CSV with the columns `input` and `output`, or JSON lines with these keys.
"""

import argparse
import time
from pathlib import Path

from scale_gp import SGPClient

FINAL = ("COMPLETED", "FAILED", "CANCELED")


def main() -> None:
    """Train on a file, and ask the tuned model the file's first question."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, help="training rows")
    parser.add_argument("--model", default="tiny-chat", help="the base model")
    parser.add_argument("--account", default="default", help="the account, which is a project")
    parser.add_argument("--epochs", type=int, default=3, help="passes over the data")
    arguments = parser.parse_args()

    client = SGPClient(account_id=arguments.account)
    dataset = client.training_datasets.create(
        account_id=arguments.account,
        # This client sends text: an open file would arrive as its name in Python.
        file=arguments.file.read_text(encoding="utf-8"),
        name=arguments.file.stem,
        schema_type="GENERATION",
    )
    job = client.fine_tuning_jobs.create(
        account_id=arguments.account,
        training_dataset_id=dataset.id,
        base_model_id=arguments.model,
        vendor_configuration={
            "vendor": "LLMENGINE",
            "hyperparameters": {"epochs": arguments.epochs},
            "suffix": "example",
        },
    )
    print(f"{job.id} is {job.status}")
    while job.status not in FINAL:
        time.sleep(1)
        job = client.fine_tuning_jobs.retrieve(job.id)
    print(f"{job.id} is {job.status}")
    if job.status != "COMPLETED" or job.fine_tuned_model_id is None:
        raise SystemExit(
            [event.message for event in client.fine_tuning_jobs.events.list(job.id)][-1]
        )

    first = next(iter(client.training_datasets.contents.list(dataset.id)))
    [deployment] = client.models.deployments.list(job.fine_tuned_model_id)
    answer = client.models.chat_completions.create(
        deployment.id, prompt=first.input, chat_history=[], temperature=0
    )
    print(first.input)
    print(answer.completions[0][0])


if __name__ == "__main__":
    main()
