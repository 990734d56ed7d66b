"""Every statement that a caller's request leads to names the caller's project."""

import re

import pytest
from sqlalchemy import make_url

from tunery.store.sql.database import Compiler
from tunery.store.statements import files, images, jobs, keys, uploads
from tunery.store.statements.query import Query

BEFORE_THE_PROJECT_IS_KNOWN = {
    "ANY_ORGANISATION",
    "ORGANISATION",
    "USER",
    "NEW_ORGANISATION",
    "NEW_PROJECT",
    "NEW_USER",
    "CALLER",
    "IMAGE_OF_LINK",
}
PROJECT = re.compile(r"%\((project_id|of_project)\)s")


def _callers_statements() -> dict[str, Query]:
    found: dict[str, Query] = {}
    for module in (files, images, jobs, keys, uploads):
        for name, value in vars(module).items():
            if isinstance(value, Query):
                found[name] = value
            elif name.isupper() and isinstance(value, dict):
                found |= {f"{name}[{key}]": each for key, each in value.items()}
    listed = jobs.listed_jobs(n_pairs=2, bare=True, ascending=False)
    found["listed_jobs"] = listed
    return {name: found[name] for name in found if name not in BEFORE_THE_PROJECT_IS_KNOWN}


STATEMENTS = {
    name: query for name, query in _callers_statements().items() if not name.startswith("_")
}


def test_the_statements_are_found() -> None:
    assert {"JOB", "FILE", "MOVE[cancelled]", "listed_jobs", "PARTS"} <= set(STATEMENTS)


@pytest.mark.parametrize("name", sorted(STATEMENTS))
def test_a_callers_statement_names_the_project(name: str) -> None:
    dialect = make_url("postgresql+psycopg://").get_dialect()()
    assert PROJECT.search(Compiler(dialect).text(STATEMENTS[name]))
