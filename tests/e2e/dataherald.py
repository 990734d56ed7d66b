"""Dataherald's door as a client of its engine uses it, over HTTP alone."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from tests.e2e.jobs import wait_until
from tests.servers import Server

AT_ONCE = 8
MOST_ROWS = 1000
OVER = ("succeeded", "failed", "cancelled")

Answer = list[tuple[object, ...]] | None
"""The rows that SQL gave; None where it gave none."""


class Engine:
    """A client of the engine's API."""

    def __init__(self, server: Server) -> None:
        self._http = httpx.Client(
            base_url=f"{server.url}/api/v1",
            headers={"Authorization": f"Bearer {server.key}"},
            timeout=300,
        )

    def post(self, path: str, body: object) -> Any:  # noqa: ANN401
        """What a create call answers."""
        response = self._http.post(path, json=body)
        assert response.status_code == 201, response.text
        return response.json()

    def get(self, path: str, **query: str | int) -> Any:  # noqa: ANN401
        """What a read answers."""
        response = self._http.get(path, params=query)
        assert response.is_success, response.text
        return response.json()

    def connected(self, uri: str) -> str:
        """The id of a connection to a database whose tables are all scanned."""
        body = {"alias": "shop", "connection_uri": uri}
        connection_id = str(self.post("/database-connections", body)["id"])
        tables = self.tables(connection_id)
        self.post("/table-descriptions/sync-schemas", {"ids": [table["id"] for table in tables]})
        wait_until(lambda: self._all_scanned(connection_id), within_s=60)
        return connection_id

    def tables(self, connection_id: str) -> list[dict[str, Any]]:
        """The descriptions of a connection's tables."""
        tables: list[dict[str, Any]] = self.get(
            "/table-descriptions", db_connection_id=connection_id
        )
        return tables

    def _all_scanned(self, connection_id: str) -> bool:
        return {table["status"] for table in self.tables(connection_id)} == {"SCANNED"}

    def taught(self, connection_id: str, records: Sequence[Mapping[str, str]]) -> list[str]:
        """The ids of new golden records."""
        items = [{"db_connection_id": connection_id, **record} for record in records]
        return [str(each["id"]) for each in self.post("/golden-sqls", items)]

    def finetuned(
        self, connection_id: str, *, n_epochs: int | None = None, golden: Sequence[str] = ()
    ) -> dict[str, Any]:
        """A finetuning of `tiny-chat`, once it is over."""
        parameters = {} if n_epochs is None else {"n_epochs": n_epochs}
        body = {
            "db_connection_id": connection_id,
            "alias": "shop",
            "base_llm": {"model_name": "tiny-chat", "model_parameters": parameters},
            "golden_records": list(golden) or None,
        }
        made = self.post("/finetunings", body)
        wait_until(lambda: self.finetuning(made["id"])["status"] in OVER, within_s=1500)
        return self.finetuning(made["id"])

    def finetuning(self, finetuning_id: str) -> dict[str, Any]:
        """A finetuning as it is now."""
        found: dict[str, Any] = self.get(f"/finetunings/{finetuning_id}")
        return found

    def execution_match(
        self, connection_id: str, records: Sequence[Mapping[str, str]], **writer: object
    ) -> int:
        """How many questions `writer` answers with the rows that the golden SQL gives."""

        def is_right(record: Mapping[str, str]) -> bool:
            prompt = {"text": record["prompt_text"], "db_connection_id": connection_id}
            written = self.post("/prompts/sql-generations", {"prompt": prompt, **writer})
            brought = self.post(
                f"/prompts/{written['prompt_id']}/sql-generations", {"sql": record["sql"]}
            )
            right, given = self._rows(brought), self._rows(written)
            assert right, brought
            if given is None or "order by" in record["sql"]:
                return given == right
            return sorted(given, key=repr) == sorted(right, key=repr)

        with ThreadPoolExecutor(AT_ONCE) as asking:
            return sum(asking.map(is_right, records))

    def _rows(self, generation: Mapping[str, Any]) -> Answer:
        """What SQL gives; None where it is not valid."""
        if generation["status"] != "VALID":
            return None
        path = f"/sql-generations/{generation['id']}/execute"
        return [tuple(row.values()) for row in self.get(path, max_rows=MOST_ROWS)]

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()
