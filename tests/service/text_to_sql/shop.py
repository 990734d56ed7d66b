"""A small shop's tables as a scan gives them."""

from collections.abc import Mapping
from datetime import UTC, datetime

from tunery.core.ids import new_id
from tunery.core.models import BaseModel
from tunery.core.text_to_sql import (
    Column,
    DatabaseConnection,
    ForeignKey,
    ScanStatus,
    TableDescription,
)

MADE = datetime(2026, 11, 21, tzinfo=UTC)
CONNECTION = DatabaseConnection(
    id="65f000000000000000000001",
    project_id="default",
    created_at=MADE,
    alias="shop",
    dialect="sqlite",
    sealed_uri="sealed",
)
BASE = BaseModel(name="tiny-chat", location="/tiny-chat", owned_by="tunery", created_at=MADE)


def table(
    name: str,
    *columns: Column,
    description: str | None = None,
    examples: tuple[Mapping[str, str], ...] = (),
    schema: str | None = None,
    status: ScanStatus = ScanStatus.SCANNED,
) -> TableDescription:
    return TableDescription(
        id=new_id(""),
        project_id=CONNECTION.project_id,
        db_connection_id=CONNECTION.id,
        created_at=MADE,
        schema_name=schema,
        table_name=name,
        status=status,
        description=description,
        columns=columns,
        examples=examples,
    )


def key(name: str = "id") -> Column:
    return Column(name=name, data_type="INTEGER", is_primary_key=True)


def text(name: str, *, description: str | None = None) -> Column:
    return Column(name=name, data_type="VARCHAR(40)", description=description)


def one_of(name: str, *categories: str) -> Column:
    return Column(name=name, data_type="TEXT", low_cardinality=True, categories=categories)


def points_to(other: str) -> Column:
    target = ForeignKey(field_name="id", reference_table=other)
    return Column(name=f"{other.rstrip('s')}_id", data_type="INTEGER", foreign_key=target)


CUSTOMERS = table(
    "customers", key(), text("name"), text("town"), description="who buys from us",
    examples=({"id": "1", "name": "Ada", "town": "Oslo"},),
)  # fmt: skip
PRODUCTS = table("products", key(), text("title"), Column(name="price", data_type="NUMERIC(8, 2)"))
ORDERS = table(
    "orders", key(), points_to("customers"), one_of("status", "open", "paid", "sent"),
)  # fmt: skip
LINES = table("order_lines", key(), points_to("orders"), points_to("products"))
STAFF = table("staff", key(), text("name"), text("desk"))
SHOP = (CUSTOMERS, PRODUCTS, ORDERS, LINES, STAFF)
