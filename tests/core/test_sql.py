"""SQL that is read, guarded and compared."""

import math
import random
import time
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunery.core.errors import InvalidValue
from tunery.core.sql import check_query, is_ordered, normalised, same_result, tables_in
from tunery.core.text_to_sql import Rows

P, S = "postgresql", "sqlite"

GOOD = [
    (P, "SELECT 1"),
    (P, "select 1;"),
    (P, "select t.http_status, t.lo_limit from t"),
    (P, "select c.relname from pg_catalog.pg_class c, pg_catalog.pg_namespace n"),
    (S, "select t.edit, t.pg_rating from t"),
    (S, "select trim(a), ltrim(a, '-/'), rtrim(a, ' ' || char(10, 13)) from t"),
    (P, "select trim(both b from a), trim(a, b) from t"),
    (P, "select 1 ;; -- done"),
    (P, "-- first\nselect /* second */ 1"),
    (P, "(select 1)"),
    (P, "((select 1) union all (select 2)) order by 1"),
    (P, "select 1 intersect select 2 except select 3"),
    (P, "values (1, 'a'), (2, 'b')"),
    (P, "with a as (select 1), b as (select * from a) select * from b"),
    (P, "with recursive a(n) as (select 1 union all select n + 1 from a where n < 9) table a"),
    (P, "select count(*) filter (where x) over (partition by y order by z) from t"),
    (P, "select substring(a from 1 for 2), extract(year from d), d::date from t"),
    (P, "select j->>'a', j @> '{\"b\": 1}', j ? 'c', arr[1], a ~* 'x', -1 from t"),
    (P, "select 'it''s; drop table t', E'a\\'b', x'ff', b'01'"),
    (P, "select 'a'\n'b'"),
    (P, 'select "Total" from "Sales"."Orders" o where "o"."for update" is null'),
    (P, "select \"pg_sleep\", 'pg_sleep(1)' from t -- pg_sleep(1)"),
    (P, "select update, delete from t where copy = 1"),
    (P, "select * from t left join lateral (select 1) x on true cross join u"),
    (P, "select * from generate_series(1, 3) g, unnest(array[1, 2]) u"),
    (P, "select pg_typeof(1), pg_size_pretty(5), currval('s'), random(), now()"),
    (
        P,
        "select grp, sum(x) from t group by rollup (grp) having sum(x) > 1 order by 2 desc limit 5",
    ),
    (P, "select 100 % 7, '50%', a like '%x%' from t"),
    (P, "select straße, 名前 from größen"),
    (P, "select interval '1 day' + current_date, cast('x' as text) collate \"C\""),
    (P, "select\r\n1"),
    (S, 'select [a b], `c`, "d" from [the table]'),
    (S, "select strftime('%Y', d), iif(a, 1, 2), group_concat(a, ', ') from t limit 5 offset 3"),
    (S, "select * from t where a glob 'x*' and b is not null"),
    (S, "select x'00ff', 1e5, .5, 0x1f"),
    (S, "with a as (select 1) select * from a"),
    (S, "select json_extract(a, '$.b') from t"),
]

BAD = [
    # Not a query.
    (P, "insert into t values (1)", "not_read_only"),
    (P, "update t set a = 1", "not_read_only"),
    (P, "delete from t", "not_read_only"),
    (P, "merge into t using u on true when matched then delete", "not_read_only"),
    (P, "truncate t", "not_read_only"),
    (P, "create table t (a int)", "not_read_only"),
    (P, "drop table t", "not_read_only"),
    (P, "alter table t add a int", "not_read_only"),
    (P, "copy t to program 'id'", "not_read_only"),
    (P, "copy (select 1) to '/tmp/x'", "not_read_only"),
    (P, "set role postgres", "not_read_only"),
    (P, "reset all", "not_read_only"),
    (P, "explain analyze select 1", "not_read_only"),
    (P, "begin", "not_read_only"),
    (P, "do 'begin end'", "not_read_only"),
    (P, "call f()", "not_read_only"),
    (P, "execute p", "not_read_only"),
    (P, "declare c cursor for select 1", "not_read_only"),
    (P, "listen x", "not_read_only"),
    (P, "notify x, 'y'", "not_read_only"),
    (P, "grant all on t to u", "not_read_only"),
    (P, "vacuum", "not_read_only"),
    (P, "lock table t", "not_read_only"),
    (P, "table t", "not_read_only"),
    (P, "from t", "not_read_only"),
    (P, '"select" x', "not_read_only"),
    # A query that does more.
    (P, "select * into x from t", "not_read_only"),
    (P, "select 1 into temp x", "not_read_only"),
    (P, "with a as (delete from t returning *) select * from a", "not_read_only"),
    (P, "with a as (insert into t values (1) returning 1) select * from a", "not_read_only"),
    (P, "with a as (update t set a = 1 returning 1) select * from a", "not_read_only"),
    (P, "with a as (select 1) delete from t", "not_read_only"),
    (P, "select * from t for update", "not_read_only"),
    (P, "select * from t for no key update nowait", "not_read_only"),
    (P, "select * from (select * from t for share skip locked) x", "not_read_only"),
    # Several.
    (P, "select 1; select 2", "not_read_only"),
    (P, "select 1; drop table t", "not_read_only"),
    (P, "select 1;/**/drop table t--", "not_read_only"),
    (P, "select '\\'; drop table t; --'", "not_read_only"),
    # Functions, however they are written.
    (P, "select pg_sleep(1)", "not_read_only"),
    (P, "select PG_SLEEP (1)", "not_read_only"),
    (P, 'select pg_catalog."pg_sleep"/* x */\n(1)', "not_read_only"),
    (P, "select * from pg_read_file('/etc/passwd')", "not_read_only"),
    (P, "select * from rows from (pg_ls_dir('.')) x", "not_read_only"),
    (P, "select * from t, lateral pg_read_binary_file('x') y", "not_read_only"),
    (P, "select 1 where exists (select lo_import('/etc/passwd'))", "not_read_only"),
    (P, "select lo_export(1, '/tmp/x'), loread(1, 1), lowrite(1, '')", "not_read_only"),
    (P, "select * from dblink('host=x', 'select 1') as t(a int)", "not_read_only"),
    (P, "select dblink_exec('drop table t')", "not_read_only"),
    (P, "select set_config('transaction_read_only', 'off', false)", "not_read_only"),
    (P, "select pg_terminate_backend(1), pg_cancel_backend(1)", "not_read_only"),
    (P, "select pg_reload_conf()", "not_read_only"),
    (P, "select query_to_xml('delete from t', true, true, '')", "not_read_only"),
    (P, "select table_to_xml('pg_authid', true, true, '')", "not_read_only"),
    (P, "select nextval('s'), setval('s', 1)", "not_read_only"),
    (P, "select pg_notify('a', 'b'), pg_advisory_lock(1)", "not_read_only"),
    (P, "select * from ts_stat('select 1')", "not_read_only"),
    (P, "select * from crosstab('select 1') as t(a int)", "not_read_only"),
    (P, "select aws_lambda.invoke('f', '{}')", "not_read_only"),
    (P, "select 1 order by (select pg_sleep(1))", "not_read_only"),
    (P, "select case when pg_sleep(1) is null then 1 end", "not_read_only"),
    (P, "values (pg_sleep(1))", "not_read_only"),
    # Functions without brackets: to PostgreSQL `x.f` may be `f(x)`.
    (P, "select ('/etc/passwd'::text).pg_read_file", "not_read_only"),
    (P, "select g.pg_read_file from unnest(array['/etc/passwd']) g", "not_read_only"),
    (P, 'select "g" . /**/ "pg_ls_dir" from unnest(array[1]) g', "not_read_only"),
    (P, "select x.f.lo_import from t x", "not_read_only"),
    (P, "select (a[1]).current_setting from t", "not_read_only"),
    (P, "select pg_catalog.pg_ls_dir from unnest(array['.']) pg_catalog", "not_read_only"),
    (P, 'with "pg_catalog" as (select 1) select pg_catalog.pg_sleep', "not_read_only"),
    (P, "select pg_catalog.pg_class.pg_sleep from pg_catalog.pg_class", "not_read_only"),
    # Tables with passwords.
    (P, "select histogram_bounds from pg_stats where tablename = 'pg_authid'", "not_read_only"),
    (P, "select * from pg_authid", "not_read_only"),
    (P, "select (pg_shadow).passwd from pg_catalog.pg_shadow", "not_read_only"),
    (P, 'with a as (table "pg_user_mappings") select * from a', "not_read_only"),
    # What is open to reading where it ends.
    (P, "select $$a$$", "invalid_sql"),
    (P, "select $x$ pg_sleep(1) $x$", "invalid_sql"),
    (P, "select 1 as a$x$, pg_sleep(1) as b$x$", "invalid_sql"),
    (P, "select $1", "invalid_sql"),
    (P, 'select U&"\\0070g_sleep"(1)', "invalid_sql"),
    (P, "select U&'\\0027'", "invalid_sql"),
    (P, "select E'a'\n'\\'', pg_sleep(10), ''", "invalid_sql"),
    (P, "select E'a' -- x\n'\\'', pg_sleep(10), ''", "invalid_sql"),
    (P, "select 1.e'\\'', pg_sleep(10), '''", "invalid_sql"),
    (P, "select /* /* */ pg_sleep(1) */ 1", "invalid_sql"),
    (P, "select 1 -- x\r, pg_sleep(1)", "invalid_sql"),
    (P, "select 1\x0b", "invalid_sql"),
    (P, "select 1\u00a0", "invalid_sql"),
    (P, "select 1\x00", "invalid_sql"),
    (P, "select a\uff0eb", "invalid_sql"),
    (P, "select {# pg_sleep(1) #} 1", "invalid_sql"),
    # Not SQL, or not whole.
    (P, "", "invalid_sql"),
    (P, " ; ", "not_read_only"),
    (P, "-- nothing", "invalid_sql"),
    (P, "select 'a", "invalid_sql"),
    (P, 'select "a', "invalid_sql"),
    (P, "select /* a", "invalid_sql"),
    (P, "select a b c", "invalid_sql"),
    (P, "select 12abc", "invalid_sql"),
    (P, "select (1", "invalid_sql"),
    (P, "select from where", "invalid_sql"),
    # SQLite's own.
    (S, "pragma writable_schema = on", "not_read_only"),
    (S, "attach 'x.db' as x", "not_read_only"),
    (S, "vacuum into 'x.db'", "not_read_only"),
    (S, "replace into t values (1)", "not_read_only"),
    (S, "select load_extension('x')", "not_read_only"),
    (S, "select writefile('x', 'y'), readfile('x'), edit('x')", "not_read_only"),
    (S, "select * from pragma_database_list", "not_read_only"),
    (S, "select * from pragma_table_info('t')", "not_read_only"),
    (S, "select [load_extension]('x')", "not_read_only"),
    (S, "select :a", "invalid_sql"),
    (S, "select ?1", "invalid_sql"),
    (S, "select @a", "invalid_sql"),
    (S, "select $a::x(load_extension('x'))", "invalid_sql"),
    (S, "select trim(a, b) from t", "invalid_sql"),
    (S, "select length([ltrim](a, hex(zeroblob(9)))) from t", "invalid_sql"),
    (S, "select \"rtrim\"(a, 'b' || (select c from u)) from t", "invalid_sql"),
    (S, f"select trim(a, '{'b' * 200}') from t", "invalid_sql"),
    # Too much.
    (P, "select " + "(" * 41 + "1" + ")" * 41, "invalid_sql"),
    (P, "select " + "(" * 30_000 + "1" + ")" * 30_000, "invalid_sql"),
    (P, "select " + "not " * 4_000 + "true", "invalid_sql"),
    (P, "select " + "case when a then " * 2_000 + "1" + " end" * 2_000, "invalid_sql"),
    (P, "select " + "array[" * 38 + "1" + "]" * 38, "invalid_sql"),
    (P, "select a" + "[1]" * 3_000, "invalid_sql"),
    (P, "select " + ",".join(["a"] * 6_000), "invalid_sql"),
    (P, "select '" + "a" * 70_000 + "'", "invalid_sql"),
]


@pytest.mark.parametrize(("dialect", "sql"), GOOD)
def test_what_only_reads_passes(dialect: str, sql: str) -> None:
    check_query(sql, dialect)


@pytest.mark.parametrize(("dialect", "sql", "code"), BAD, ids=lambda each: str(each)[:50])
def test_what_does_more_than_read_is_refused(dialect: str, sql: str, code: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        check_query(sql, dialect)

    assert refused.value.code == code
    assert len(refused.value.message) < 500


@given(sql=st.text(alphabet="selct'\"()-*/;$eE\\ \n[]`1.,ﬀ\x00pgU&", max_size=60))
def test_no_text_ends_in_another_error(sql: str) -> None:
    for dialect in (P, S):
        for read in (check_query, normalised, tables_in, is_ordered):
            with suppress(InvalidValue):
                read(f"select {sql}", dialect)


@pytest.mark.parametrize("n", [10, 39, 300])
@pytest.mark.parametrize("nest", ["({})", "f({})", "(a, {})", "exists (select {})", "not {}"])
def test_a_nest_ends_soon(nest: str, n: int) -> None:
    before, _, after = nest.partition("{}")
    began = time.monotonic()

    with suppress(InvalidValue):
        check_query(f"select {before * n}1{after * n}", P)

    assert time.monotonic() - began < 10


def test_an_unknown_dialect_is_refused() -> None:
    with pytest.raises(InvalidValue, match="postgresql and sqlite") as refused:
        check_query("select 1", "mysql")

    assert refused.value.code == "unsupported_database"


@pytest.mark.parametrize(
    ("dialect", "sql", "tables"),
    [
        (P, "select 1", set()),
        (
            P,
            "select * from Orders o join sales.Customers c using (id)",
            {"orders", "sales.customers"},
        ),
        (P, 'select * from "Orders", "Sales"."t"', {"Orders", "Sales.t"}),
        (S, 'select * from Orders, "Customers"', {"orders", "customers"}),
        (P, "with a as (select * from t) select * from A", {"t"}),
        (P, "with t as (select * from t) select * from t", {"t"}),
        (P, "with recursive r as (select 1 union select * from r) select * from r", set()),
        (P, "with a as (select 1), b as (select * from a, c) select * from b", {"c"}),
        (P, "select * from (with a as (select 1) select * from a) x, a", {"a"}),
        (
            P,
            "select (select 1 from x), generate_series(1, 2) from y where exists (table z)",
            set("xyz"),
        ),
        (P, "select * from generate_series(1, 2) g", set()),
    ],
)
def test_the_tables_that_a_statement_names(dialect: str, sql: str, tables: set[str]) -> None:
    assert tables_in(sql, dialect) == tables


@pytest.mark.parametrize(
    ("dialect", "one", "other"),
    [
        (P, "select A, b from T", "SELECT a,\n  B FROM t ;"),
        (P, "select a from t", 'select "a" from "t" -- c'),
        (P, "select Count(*), Foo(x) from t", "select count( * ),foo(X) from t"),
        (P, "select a::int from t", "select cast(a as int) from t"),
        (S, "select A from T", "select `a` from [t]"),
    ],
)
def test_the_same_sql_in_another_writing(dialect: str, one: str, other: str) -> None:
    assert normalised(one, dialect) == normalised(other, dialect)


@pytest.mark.parametrize(
    ("dialect", "one", "other"),
    [
        (P, "select 'A'", "select 'a'"),
        (P, "select a from t", 'select "A" from t'),
        (P, "select 1", "select 1.0"),
        (P, "select a from t order by a", "select a from t"),
        (P, "select 'a  b'", "select 'a b'"),
        (S, 'select "Bob"', 'select "bob"'),
    ],
)
def test_other_sql_stays_another(dialect: str, one: str, other: str) -> None:
    assert normalised(one, dialect) != normalised(other, dialect)


@pytest.mark.parametrize(
    ("sql", "ordered"),
    [
        ("select 1 order by 1", True),
        ("(select 1 order by 1)", True),
        ("select 1 union select 2 order by 1", True),
        ("select * from (select 1 order by 1) x", False),
        ("select sum(a) over (order by b) from t", False),
        ("select 1", False),
        ("values (1), (2) order by 1", True),
    ],
)
def test_the_order_matters_where_the_outermost_query_asks_for_one(sql: str, ordered: bool) -> None:
    assert is_ordered(sql, P) is ordered


def rows(*found: tuple[object, ...], truncated: bool = False) -> Rows:
    width = len(found[0]) if found else 1
    return Rows(columns=tuple(map(str, range(width))), rows=found, truncated=truncated)


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.decimals(allow_nan=False, allow_infinity=False),
    st.text(max_size=5),
    st.dates(),
    st.datetimes(),
    st.binary(max_size=5),
)
TABLES = st.integers(1, 3).flatmap(
    lambda width: st.lists(st.tuples(*[VALUES] * width), min_size=1, max_size=8)
)


@given(found=TABLES, seed=st.integers())
def test_the_same_rows_in_another_order_are_the_same(
    found: list[tuple[object, ...]], seed: int
) -> None:
    shuffled = random.Random(seed).sample(found, len(found))

    assert same_result(rows(*found), rows(*shuffled), ordered=False)
    assert same_result(rows(*found), rows(*found), ordered=True)


@given(found=TABLES)
def test_one_row_more_is_another_result(found: list[tuple[object, ...]]) -> None:
    assert not same_result(rows(*found), rows(*found, found[0]), ordered=False)


@given(
    numbers=st.lists(st.floats(0.1, 1e9), min_size=2, max_size=8, unique_by=lambda x: f"{x:.3g}")
)
def test_floats_may_differ_a_little_and_no_more(numbers: list[float]) -> None:
    result = rows(*((number,) for number in numbers))
    near = rows(*((number * (1 + 1e-8),) for number in reversed(numbers)))
    far = rows(*((number * (1 + 1e-4),) for number in numbers))

    assert same_result(result, near, ordered=False)
    assert not same_result(result, far, ordered=False)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, Decimal("1.0")),
        (1.0, 1),
        (Decimal("0.1"), 0.1),
        (math.nan, math.nan),
        (Decimal("NaN"), math.nan),
        (math.inf, math.inf),
        (0.1 + 0.2 - 0.3, 0),
        (None, None),
        (True, 1),
        (date(2024, 5, 1), "2024-05-01"),
        (datetime(2024, 5, 1, 12), "2024-05-01 12:00:00"),
        (datetime(2024, 5, 1, 12, 0, 0, 500000), "2024-05-01T12:00:00.5"),
        (datetime(2024, 5, 1, 12, tzinfo=UTC), "2024-05-01 14:00:00+02:00"),
        (memoryview(b"a"), b"a"),
        ([1, 2.0], (Decimal(1), 2)),
        ({"a": 1, "b": None}, {"b": None, "a": 1.0}),
        (timedelta(hours=1), timedelta(seconds=3600)),
    ],
)
def test_values_are_the_same_whatever_their_type(one: object, other: object) -> None:
    assert same_result(rows((one,)), rows((other,)), ordered=True)
    assert same_result(rows((other,)), rows((one,)), ordered=False)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 2),
        (1, "1"),
        (None, 0),
        (None, ""),
        ("a", "A"),
        (math.nan, 0.0),
        (math.inf, -math.inf),
        (10**400, 1.0),
        (Decimal("1.0000001"), Decimal(1)),
        (date(2024, 5, 1), datetime(2024, 5, 1)),
        (date(2024, 5, 1), "2024-05-02"),
        ([1], 1),
        ([1, 2], [2, 1]),
    ],
)
def test_values_that_differ_are_told_apart(one: object, other: object) -> None:
    assert not same_result(rows((one,)), rows((other,)), ordered=True)
    assert not same_result(rows((other,)), rows((one,)), ordered=False)


def test_order_number_and_columns_of_rows() -> None:
    a, b = (1, "x"), (2, "y")

    assert not same_result(rows(a, b), rows(b, a), ordered=True)
    assert not same_result(rows(a, a, b), rows(a, b, b), ordered=False)
    assert not same_result(rows(a), rows(("x", 1)), ordered=False)
    assert not same_result(rows((1,)), rows((1, 1)), ordered=False)
    assert not same_result(rows(a, truncated=True), rows(a, truncated=True), ordered=False)
    assert same_result(Rows(columns=("a",), rows=()), Rows(columns=("b",), rows=()), ordered=False)
    assert not same_result(
        Rows(columns=("a",), rows=()), Rows(columns=("a", "b"), rows=()), ordered=False
    )


def test_many_rows_whose_numbers_nearly_agree_are_compared_soon() -> None:
    left = [(1 + n * 1e-9, n % 7) for n in range(5_000)]
    began = time.monotonic()

    assert same_result(rows(*left), rows(*reversed(left)), ordered=False)

    assert time.monotonic() - began < 10
