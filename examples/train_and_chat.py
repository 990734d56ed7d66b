"""Upload, create, wait, chat: with the stock `openai` package, and nothing of Tunery's.

Set OPENAI_BASE_URL and OPENAI_API_KEY, then:

    python examples/train_and_chat.py questions.jsonl
"""

import argparse
import json
import time
from pathlib import Path

from openai import OpenAI

FINAL = ("succeeded", "failed", "cancelled")


def main() -> None:
    """Train on a file, and ask the tuned model the file's first question."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, help="training rows, one conversation per line")
    parser.add_argument("--model", default="tiny-chat", help="the base model")
    parser.add_argument("--epochs", type=int, help="passes over the data")
    arguments = parser.parse_args()

    client = OpenAI()
    with arguments.file.open("rb") as rows:
        data = client.files.create(file=rows, purpose="fine-tune")
    job = client.fine_tuning.jobs.create(
        model=arguments.model,
        training_file=data.id,
        suffix="example",
        method={
            "type": "supervised",
            "supervised": {"hyperparameters": {"n_epochs": arguments.epochs or "auto"}},
        },
    )
    print(f"{job.id} is {job.status}")
    while job.status not in FINAL:
        time.sleep(1)
        job = client.fine_tuning.jobs.retrieve(job.id)
    print(f"{job.id} is {job.status}")
    if job.status != "succeeded" or job.fine_tuned_model is None:
        raise SystemExit(job.error.message if job.error else 1)

    *messages, _ = json.loads(arguments.file.read_text(encoding="utf-8").split("\n")[0])["messages"]
    answer = client.chat.completions.create(
        model=job.fine_tuned_model, messages=messages, temperature=0
    )
    print(messages[-1]["content"])
    print(answer.choices[0].message.content)


if __name__ == "__main__":
    main()
