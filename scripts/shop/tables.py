"""The shop's tables and what stands in them, from a fixed seed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import date, timedelta

from sqlalchemy import (
    Column,
    Connection,
    Date,
    ForeignKey,
    Integer,
    MetaData,
    Numeric,
    String,
    Table,
    insert,
)

from scripts.examples.people import FIRST
from scripts.wordlist import listed

SEED = 1

CITIES = listed("Athens Berlin Dublin Ghent Lisbon Lyon Milan Oslo Prague Riga Vienna Zurich")
COUNTRIES = listed(
    "Austria Belgium Denmark Finland France Greece Hungary Italy Norway Poland Portugal Spain"
)
BRANDS = listed(
    "Alpenhof Birkwood Cobalt Dunemark Eastgate Fernhill Glenrock Harbour Ironleaf Juniper Kestrel "
    "Lakeside Mistral Moorland Norfold Northwind Oakfield Pinecone Quarry Riverbend Stonegate "
    "Tamarind Thornbury Wexford"
)
GOODS = {
    "bags": listed("backpack basket bucket handbag rucksack suitcase wallet"),
    "bedding": listed("blanket cushion mattress pillow"),
    "clothes": listed("apron cardigan coat glove hat jacket scarf shirt sock sweater trousers"),
    "cutlery": listed("chopstick fork knife ladle spoon"),
    "furniture": listed("armchair bench bookcase desk sofa stool table wardrobe"),
    "games": listed("chess dice domino kite puzzle"),
    "fencing": listed("gate hinge post rail"),
    "instruments": listed("cello drum flute guitar harp piano trumpet violin accordion"),
    "jewellery": listed("bracelet brooch necklace ring"),
    "kitchenware": listed("bowl jug kettle mug oven pan plate toaster tray"),
    "lamps": listed("candle lantern torch"),
    "stationery": listed("crayon envelope eraser folder notebook pencil"),
    "tools": listed("axe chisel drill hammer ladder pliers saw"),
}
STATUSES = listed("open paid packed shipped delivered returned cancelled")
FIRST_DAY = date(2025, 1, 1)
DAYS = 365

metadata = MetaData()

categories = Table(
    "categories",
    metadata,
    Column("category_id", Integer, primary_key=True),
    Column("category_name", String(40), nullable=False),
)
brands = Table(
    "brands",
    metadata,
    Column("brand_id", Integer, primary_key=True),
    Column("brand_name", String(40), nullable=False),
    Column("country", String(40), nullable=False),
)
products = Table(
    "products",
    metadata,
    Column("product_id", Integer, primary_key=True),
    Column("product_name", String(40), nullable=False),
    Column("category_id", ForeignKey("categories.category_id"), nullable=False),
    Column("brand_id", ForeignKey("brands.brand_id"), nullable=False),
    Column("price", Numeric(8, 2), nullable=False),
    Column("stock", Integer, nullable=False),
)
customers = Table(
    "customers",
    metadata,
    Column("customer_id", Integer, primary_key=True),
    Column("customer_name", String(40), nullable=False),
    Column("city", String(40), nullable=False),
    Column("age", Integer, nullable=False),
)
orders = Table(
    "orders",
    metadata,
    Column("order_id", Integer, primary_key=True),
    Column("customer_id", ForeignKey("customers.customer_id"), nullable=False),
    Column("status", String(20), nullable=False),
    Column("ordered_on", Date, nullable=False),
)
order_items = Table(
    "order_items",
    metadata,
    Column("item_id", Integer, primary_key=True),
    Column("order_id", ForeignKey("orders.order_id"), nullable=False),
    Column("product_id", ForeignKey("products.product_id"), nullable=False),
    Column("quantity", Integer, nullable=False),
)
reviews = Table(
    "reviews",
    metadata,
    Column("review_id", Integer, primary_key=True),
    Column("product_id", ForeignKey("products.product_id"), nullable=False),
    Column("customer_id", ForeignKey("customers.customer_id"), nullable=False),
    Column("rating", Integer, nullable=False),
)

Row = dict[str, object]


def fill(connection: Connection) -> None:
    """Make the tables in an empty database and write their rows."""
    metadata.create_all(connection)
    for table, values in rows(random.Random(SEED)).items():
        connection.execute(insert(metadata.tables[table]), list(values))


def rows(rng: random.Random) -> dict[str, Sequence[Row]]:
    """What stands in each table, parents first."""
    people = _people(rng)
    goods = _goods(rng)
    bought = [
        {
            "order_id": number,
            "customer_id": rng.choice(people)["customer_id"],
            "status": rng.choice(STATUSES),
            "ordered_on": FIRST_DAY + timedelta(days=rng.randrange(DAYS)),
        }
        for number in range(1, 241)
    ]
    return {
        "categories": [
            {"category_id": n, "category_name": name} for n, name in enumerate(GOODS, start=1)
        ],
        "brands": [
            {"brand_id": n, "brand_name": name, "country": COUNTRIES[n % len(COUNTRIES)]}
            for n, name in enumerate(BRANDS, start=1)
        ],
        "products": goods,
        "customers": people,
        "orders": bought,
        "order_items": _items(rng, bought, goods),
        "reviews": _reviews(rng, people, goods),
    }


def _people(rng: random.Random) -> Sequence[Row]:
    """Everyone under another name, and of another age."""
    names = rng.sample(FIRST, len(FIRST))
    ages = rng.sample(range(18, 80), len(names))
    return [
        {"customer_id": n, "customer_name": name, "city": rng.choice(CITIES), "age": age}
        for n, (name, age) in enumerate(zip(names, ages, strict=True), start=1)
    ]


def _goods(rng: random.Random) -> Sequence[Row]:
    """Products in any order, each at a price of its own."""
    named = [(name, number) for number, names in enumerate(GOODS.values(), 1) for name in names]
    rng.shuffle(named)
    prices = rng.sample(range(5_00, 100_00, 25), len(named))
    return [
        {
            "product_id": n,
            "product_name": name,
            "category_id": category,
            "brand_id": rng.randint(1, len(BRANDS)),
            "price": price / 100,
            "stock": rng.randint(0, 300),
        }
        for n, ((name, category), price) in enumerate(zip(named, prices, strict=True), start=1)
    ]


def _items(rng: random.Random, orders: Sequence[Row], goods: Sequence[Row]) -> Sequence[Row]:
    """One to three products for each order."""
    chosen = [
        (order["order_id"], product["product_id"])
        for order in orders
        for product in rng.sample(goods, rng.randint(1, 3))
    ]
    return [
        {"item_id": n, "order_id": order, "product_id": product, "quantity": rng.randint(1, 9)}
        for n, (order, product) in enumerate(chosen, start=1)
    ]


def _reviews(rng: random.Random, people: Sequence[Row], goods: Sequence[Row]) -> Sequence[Row]:
    """Two to five opinions on each product."""
    chosen = [
        (product["product_id"], person["customer_id"])
        for product in goods
        for person in rng.sample(people, rng.randint(2, 5))
    ]
    return [
        {"review_id": n, "product_id": product, "customer_id": person, "rating": rng.randint(1, 5)}
        for n, (product, person) in enumerate(chosen, start=1)
    ]
