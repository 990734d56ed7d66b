"""Golden SQL put to the test: it must run before anything is learnt from it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic

from tunery.core.errors import InvalidValue, QueryFailed
from tunery.core.sql import check_query, tables_in
from tunery.core.text_to_sql import DatabaseConnection, GoldenRecord
from tunery.service.text_to_sql.connected import ConnectedDatabases
from tunery.service.text_to_sql.side_by_side import side_by_side

AT_ONCE = 4
"""So many statements run in the customer's database at the same time."""
LONGEST_RUN_S = 30.0
LONGEST_TRIAL_S = 600.0
"""All golden SQL of a job must be through by then: other jobs wait for their turn."""
_MOST_ROWS = 10
"""That it runs is what matters here, not what it gives."""
_MOST_EXPLAINED = 100
"""Golden records that fail beyond these are named by their ids alone."""
_LONGEST_WORDS = 500
"""So many characters of what the database says about each."""


@dataclass(frozen=True, kw_only=True)
class Golden:
    """A golden record that runs."""

    record: GoldenRecord
    sql: str
    """Its SQL as it is taught: without the semicolon at the end."""
    tables: frozenset[str]
    """The tables that the SQL names."""


def tried(
    records: Sequence[GoldenRecord],
    connection: DatabaseConnection,
    databases: ConnectedDatabases,
    *,
    wanted: Callable[[], bool],
) -> list[Golden]:
    """All of `records`, once each was parsed and run.

    Raises:
        InvalidValue: some fail; the message names each by its id, with the database's own words.
        Unavailable: `wanted` says no.
    """
    ends = monotonic() + LONGEST_TRIAL_S

    def failure(record: GoldenRecord) -> str | None:
        sql = taught(record.sql)
        if monotonic() > ends:
            return f"not tried, since those before it took {LONGEST_TRIAL_S:g} seconds"
        try:
            check_query(sql, connection.dialect)
            databases.run(connection, sql, max_rows=_MOST_ROWS, timeout_s=LONGEST_RUN_S)
        except (InvalidValue, QueryFailed) as error:
            return " ".join(error.message.split())[:_LONGEST_WORDS]
        return None

    outcomes = side_by_side(failure, records, at_once=AT_ONCE, wanted=wanted)
    failures = [
        (record.id, said)
        for record, said in zip(records, outcomes, strict=True)
        if said is not None
    ]
    if failures:
        raise _invalid(failures, len(records))
    return [
        Golden(
            record=record,
            sql=taught(record.sql),
            tables=tables_in(taught(record.sql), connection.dialect),
        )
        for record in records
    ]


def taught(sql: str) -> str:
    """`sql` without what stands around the statement."""
    return sql.strip().rstrip("; \t\r\n")


def _invalid(failures: Sequence[tuple[str, str]], n_records: int) -> InvalidValue:
    lines = [f"{record_id}: {said}" for record_id, said in failures[:_MOST_EXPLAINED]]
    if others := [record_id for record_id, _ in failures[_MOST_EXPLAINED:]]:
        lines.append(f"and that of {', '.join(others)}")
    return InvalidValue(
        "\n".join([f"The SQL of {len(failures)} of {n_records} golden records fails:", *lines]),
        param="golden_records",
        code="invalid_golden_sql",
    )
