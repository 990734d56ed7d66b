"""Objects of the API, as the server gives them."""

import json

JOB_ID = "ftjob-0123456789abcdef01234567"
FILE_ID = "file-0123456789abcdef01234567"
TUNED = "ft:tiny-chat:org-default:sql:01234567"

Json = dict[str, object]


def job(status: str = "running", **changed: object) -> Json:
    return {
        "id": JOB_ID,
        "object": "fine_tuning.job",
        "created_at": 1790000010,
        "finished_at": None,
        "estimated_finish": None,
        "model": "tiny-chat",
        "fine_tuned_model": TUNED if status == "succeeded" else None,
        "organization_id": "org-default",
        "status": status,
        "training_file": FILE_ID,
        "validation_file": None,
        "result_files": [],
        "trained_tokens": None,
        "error": None,
        "hyperparameters": {"n_epochs": 3, "batch_size": 8, "learning_rate_multiplier": 1.0},
        "seed": 7,
        "method": {"type": "supervised"},
        "integrations": [],
        "metadata": {"team": "paint"},
        "x_tunery": {"status": status, "engine": "local", "learning_rate": 0.002, "r": 16},
        **changed,
    }


def file(**changed: object) -> Json:
    return {
        "id": FILE_ID,
        "object": "file",
        "bytes": 4210,
        "created_at": 1790000000,
        "filename": "colours.jsonl",
        "purpose": "fine-tune",
        "status": "processed",
        "expires_at": None,
        "status_details": None,
        **changed,
    }


def page(*items: Json, has_more: bool = False) -> Json:
    return {"object": "list", "data": list(items), "has_more": has_more}


def event(number: int, message: str, **changed: object) -> Json:
    return {
        "id": f"ftevent-0123456789abcdef01234567-{number}",
        "object": "fine_tuning.job.event",
        "created_at": 1790000020 + number,
        "level": "info",
        "message": message,
        "type": "message",
        "data": None,
        **changed,
    }


def step(number: int, total: int) -> Json:
    return event(
        number,
        f"Step {number}/{total}: training loss=1.20",
        type="metrics",
        data={
            "step": number,
            "total_steps": total,
            "train_loss": 1.2,
            "tokens_per_second": 9840.4,
            "remaining_seconds": 14.0,
        },
    )


def stream(*events: Json) -> bytes:
    """Events as the server streams them."""
    lines = [": ping\n\n"]
    lines += [f"id: {event['id']}\ndata: {json.dumps(event)}\n\n" for event in events]
    return "".join(lines).encode()


def refused(message: str, *, param: str | None = None, code: str | None = None) -> Json:
    return {
        "error": {
            "message": message,
            "type": "invalid_request_error",
            "param": param,
            "code": code,
        }
    }
