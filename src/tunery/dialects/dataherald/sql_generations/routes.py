"""`/api/v1/sql-generations`, and the paths under `/api/v1/prompts` that make them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.exceptions import RequestValidationError

from tunery.core.errors import InvalidValue
from tunery.core.text_to_sql import SqlGeneration
from tunery.dialects.answers import answer
from tunery.dialects.dataherald.errors import DataheraldRoute, service_errors
from tunery.dialects.dataherald.fields import UpdateMetadata
from tunery.dialects.dataherald.patience import patient
from tunery.dialects.dataherald.prompts import mapping as prompts
from tunery.dialects.dataherald.sql_generations.mapping import to_core, to_wire
from tunery.dialects.dataherald.sql_generations.rows import as_csv, as_objects
from tunery.dialects.dataherald.sql_generations.schemas import (
    PromptSqlGenerationRequest,
    SqlGenerationRequest,
)
from tunery.dialects.route import caller, services
from tunery.service.text_to_sql.sql_generations import MOST_ROWS

under_prompts = APIRouter(route_class=DataheraldRoute, tags=["SQL generations"])
"""The routes that make SQL generations."""

router = APIRouter(route_class=DataheraldRoute, tags=["SQL generations"])

_FAILED = "sql_generation_not_created"


@under_prompts.post("/sql-generations", status_code=201)
@patient
def ask(request: Request, body: PromptSqlGenerationRequest) -> Response:
    """Ask a new question, and let a model write SQL for it."""
    with service_errors(body, otherwise=_FAILED), _faults_of_sql():
        generated = services(request).text_to_sql.sql_generations.ask(
            caller(request), prompts.to_core(body.prompt), to_core(body)
        )
    return _generation(generated, status=201)


@under_prompts.post("/{prompt_id}/sql-generations", status_code=201)
@patient
def create(request: Request, prompt_id: str, body: SqlGenerationRequest) -> Response:
    """Let a model write SQL for a prompt, or bring some; it is checked and tried out."""
    with service_errors(body, otherwise=_FAILED), _faults_of_sql():
        generated = services(request).text_to_sql.sql_generations.create(
            caller(request), prompt_id, to_core(body)
        )
    return _generation(generated, status=201)


@router.get("")
def list_generations(request: Request, prompt_id: str | None = None) -> Response:
    """List the project's SQL generations, or those of a prompt, oldest first."""
    generations = services(request).text_to_sql.sql_generations.list(
        caller(request), prompt_id=(prompt_id or "").lower() or None
    )
    return answer([to_wire(generated) for generated in generations])


@router.get("/{sql_generation_id}")
def retrieve(request: Request, sql_generation_id: str) -> Response:
    """Retrieve an SQL generation."""
    generations = services(request).text_to_sql.sql_generations
    return _generation(generations.get(caller(request), sql_generation_id))


@router.put("/{sql_generation_id}")
def update(request: Request, sql_generation_id: str, body: UpdateMetadata) -> Response:
    """Replace the metadata of an SQL generation."""
    generations = services(request).text_to_sql.sql_generations
    return _generation(generations.set_metadata(caller(request), sql_generation_id, body.metadata))


@router.get("/{sql_generation_id}/execute")
@patient
def execute(
    request: Request,
    sql_generation_id: str,
    max_rows: Annotated[int, Query(ge=1, le=MOST_ROWS)] = 100,
) -> Response:
    """The rows that the SQL gives now, up to `max_rows`, each an object."""
    rows = services(request).text_to_sql.sql_generations.execute(
        caller(request), sql_generation_id, max_rows=max_rows
    )
    return answer(as_objects(rows))


@router.get("/{sql_generation_id}/csv-file")
@patient
def csv_file(request: Request, sql_generation_id: str) -> Response:
    """All rows that the SQL gives now, as a file."""
    rows = services(request).text_to_sql.sql_generations.execute(caller(request), sql_generation_id)
    if rows.truncated:
        raise InvalidValue(
            f"The result is too large for a file, which may have {MOST_ROWS:,} rows, 16 MiB, and "
            "no value longer than 64 KiB; let the SQL give less"
        )
    named = {"content-disposition": f'attachment; filename="{sql_generation_id.lower()}.csv"'}
    return Response(as_csv(rows), media_type="text/csv", headers=named)


def _generation(generated: SqlGeneration, *, status: int = 200) -> Response:
    return answer(to_wire(generated), status=status)


@contextmanager
def _faults_of_sql() -> Iterator[None]:
    """SQL that came along and does not parse is a fault of the body."""
    try:
        yield
    except InvalidValue as error:
        if error.code != "invalid_sql":
            raise
        fault = {"type": "value_error", "loc": ("body", "sql"), "msg": error.message}
        raise RequestValidationError([fault]) from error
