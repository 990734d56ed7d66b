"""The calls of BFL's finetuning guide: create, wait, look, list, draw at three strengths, delete.

Set TUNERY_URL and TUNERY_API_KEY, then:

    python examples/bfl.py pictures.zip "a photo of TOK on a beach"

The ZIP holds 1 to 20 pictures, and captions in text files of the same names. Nothing of Tunery's is
imported: against BFL's own host the calls are the same.
"""

import argparse
import base64
import os
import time
from pathlib import Path
from typing import Any

import httpx

STRENGTHS = (0.0, 0.6, 1.2)


def main() -> None:
    """Tune on a ZIP of pictures, and draw with the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, help="a ZIP of pictures")
    parser.add_argument("prompt", help="what to draw, with the trigger word")
    parser.add_argument("--trigger-word", default="TOK", help="the word to learn")
    parser.add_argument("--mode", default="general", help="what is on the pictures")
    parser.add_argument("--iterations", type=int, default=300, help="steps of training")
    parser.add_argument("--finetune-type", default="full", choices=["full", "lora"])
    parser.add_argument("--lora-rank", type=int, default=32, choices=[16, 32])
    parser.add_argument("--out", type=Path, default=Path(), help="where the images go")
    arguments = parser.parse_args()

    with httpx.Client(
        base_url=os.environ["TUNERY_URL"],
        headers={"x-key": os.environ["TUNERY_API_KEY"]},
        timeout=120,
    ) as client:
        finetune_id = create(client, arguments)
        print(f"{finetune_id} is learning; this takes a minute or more", flush=True)
        wait(client, finetune_id)
        print(asked(client.get("/v1/finetune_details", params={"finetune_id": finetune_id})))
        print(asked(client.get("/v1/my_finetunes")))
        for strength in STRENGTHS:
            image = draw(client, finetune_id, arguments.prompt, strength)
            path = arguments.out / f"{finetune_id}-{strength}.png"
            path.write_bytes(image)
            print(path)
        print(asked(client.post("/v1/delete_finetune", json={"finetune_id": finetune_id})))


def create(client: httpx.Client, arguments: argparse.Namespace) -> str:
    """The id of a new finetune."""
    body = {
        "file_data": base64.b64encode(arguments.file.read_bytes()).decode(),
        "finetune_comment": arguments.file.stem,
        "mode": arguments.mode,
        "trigger_word": arguments.trigger_word,
        "iterations": arguments.iterations,
        "finetune_type": arguments.finetune_type,
        "lora_rank": arguments.lora_rank,
    }
    return str(asked(client.post("/v1/finetune", json=body))["finetune_id"])


def draw(client: httpx.Client, finetune_id: str, prompt: str, strength: float) -> bytes:
    """An image; the link to it is good for ten minutes."""
    body = {
        "finetune_id": finetune_id,
        "finetune_strength": strength,
        "prompt": prompt,
        "seed": 7,
        "width": 512,
        "height": 512,
        "output_format": "png",
    }
    task = asked(client.post("/v1/flux-pro-finetuned", json=body))
    link = wait(client, task["id"])["result"]["sample"]
    return client.get(link).raise_for_status().content


def wait(client: httpx.Client, task_id: str) -> dict[str, Any]:
    """The task, once it is ready."""
    while True:
        task = asked(client.get("/v1/get_result", params={"id": task_id}))
        if task["status"] == "Ready":
            return task
        if task["status"] != "Pending":
            raise SystemExit(f"{task['status']}: {task['details']}")
        time.sleep(0.5)


def asked(response: httpx.Response) -> dict[str, Any]:
    """The object that was answered; a refusal ends the program with its reason."""
    if response.is_error:
        raise SystemExit(response.text)
    found: dict[str, Any] = response.json()
    return found


if __name__ == "__main__":
    main()
