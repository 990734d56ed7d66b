"""From a database to SQL for new questions: the calls that Dataherald's clients make.

Set TUNERY_URL and TUNERY_API_KEY, then:

    python examples/dataherald.py sqlite:///shop.db golden_records.json "Who lives in Oslo?"

The golden records are a JSON list of objects with `prompt_text` and `sql`.
"""

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import httpx

FINAL = ("succeeded", "failed", "cancelled")


def main() -> None:
    """Connect, scan, teach, and ask a question."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("database", help="where the database is, as the server sees it")
    parser.add_argument("golden_records", type=Path)
    parser.add_argument("question")
    parser.add_argument("--model", default="tiny-chat", help="the base model")
    parser.add_argument("--epochs", type=int, help="passes over the golden records")
    arguments = parser.parse_args()

    url = os.environ.get("TUNERY_URL", "http://127.0.0.1:8642")
    key = {"Authorization": f"Bearer {os.environ['TUNERY_API_KEY']}"}
    with httpx.Client(base_url=f"{url}/api/v1", headers=key, timeout=300) as http:
        connection_id = connected(http, arguments.database)
        records = json.loads(arguments.golden_records.read_text(encoding="utf-8"))
        items = [{**record, "db_connection_id": connection_id} for record in records]
        done(http.post("/golden-sqls", json=items))

        parameters = {"n_epochs": arguments.epochs} if arguments.epochs else {}
        base_llm = {"model_name": arguments.model, "model_parameters": parameters}
        finetuning = finetuned(http, {"db_connection_id": connection_id, "base_llm": base_llm})
        print(
            f"{finetuning['model_id']} was tuned; on held-out records: {finetuning['evaluation']}"
        )

        ask(http, connection_id, arguments.question, finetuning["id"])


def connected(http: httpx.Client, database: str) -> str:
    """The id of a connection to the database, once its tables are scanned."""
    body = {"alias": "example", "connection_uri": database}
    connection_id: str = done(http.post("/database-connections", json=body))["id"]
    query = {"db_connection_id": connection_id}
    ids = [table["id"] for table in done(http.get("/table-descriptions", params=query))]
    done(http.post("/table-descriptions/sync-schemas", json={"ids": ids}))
    while any(
        table["status"] == "SYNCHRONIZING"
        for table in done(http.get("/table-descriptions", params=query))
    ):
        time.sleep(0.2)
    print(f"{len(ids)} tables are scanned")
    return connection_id


def finetuned(http: httpx.Client, body: dict[str, object]) -> dict[str, Any]:
    """A new finetuning, once it has succeeded."""
    finetuning: dict[str, Any] = done(http.post("/finetunings", json=body))
    while finetuning["status"] not in FINAL:
        time.sleep(1)
        finetuning = done(http.get(f"/finetunings/{finetuning['id']}"))
    print(f"{finetuning['id']} is {finetuning['status']}")
    if finetuning["status"] != "succeeded":
        raise SystemExit(finetuning["error"])
    return finetuning


def ask(http: httpx.Client, connection_id: str, question: str, finetuning_id: object) -> None:
    """Print the SQL that the tuned model writes, and the rows that it gives."""
    body = {
        "finetuning_id": finetuning_id,
        "prompt": {"text": question, "db_connection_id": connection_id},
    }
    generation = done(http.post("/prompts/sql-generations", json=body))
    print(f"{question}\n{generation['sql']}\n{generation['status']}: {generation['error'] or ''}")
    if generation["status"] == "VALID":
        for row in done(http.get(f"/sql-generations/{generation['id']}/execute")):
            print(row)


def done(response: httpx.Response) -> Any:  # noqa: ANN401
    """What a call answers; one that fails ends the program with the server's words."""
    if response.is_error:
        raise SystemExit(response.text)
    return response.json()


if __name__ == "__main__":
    main()
