"""Questions about the shop, and the SQL that answers them."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import Formatter

from scripts.examples.people import FIRST
from scripts.shop.tables import (
    BRANDS,
    CITIES,
    COUNTRIES,
    GOODS,
    STATUSES,
)


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of question in two phrasings, with its query; `{…}` takes a value of that name."""

    phrasings: tuple[str, str]
    sql: str


@dataclass(frozen=True, kw_only=True)
class Question:
    """A question, the SQL that answers it, and what it was made of."""

    text: str
    sql: str
    kind: Kind
    values: Mapping[str, str]

    @property
    def slots(self) -> list[str]:
        """The names of the values that stand in its SQL."""
        return [name for _, name, _, _ in Formatter().parse(self.kind.sql) if name]


VALUES: Mapping[str, Sequence[str]] = {
    "city": CITIES,
    "country": COUNTRIES,
    "brand": BRANDS,
    "category": tuple(GOODS),
    "product": tuple(name for names in GOODS.values() for name in names),
    "customer": FIRST,
    "status": STATUSES,
    "age": tuple(str(n) for n in range(20, 76)),
    "price": tuple(str(n) for n in range(10, 96)),
    "few": tuple(str(n) for n in range(2, 21)),
    "stars": tuple(str(n) for n in range(1, 6)),
}

KINDS: tuple[Kind, ...] = (
    Kind(
        phrasings=("Which customers live in {city}?", "List the customers from {city}."),
        sql="select customer_name from customers where city = '{city}'",
    ),
    Kind(
        phrasings=(
            "How many customers are older than {age}?",
            "Count the customers over {age} years of age.",
        ),
        sql="select count(*) from customers where age > {age}",
    ),
    Kind(
        phrasings=("What does the {product} cost?", "What is the price of the {product}?"),
        sql="select price from products where product_name = '{product}'",
    ),
    Kind(
        phrasings=(
            "Which products cost more than {price}?",
            "List the products with a price above {price}.",
        ),
        sql="select product_name from products where price > {price}",
    ),
    Kind(
        phrasings=(
            "What are the {few} most expensive products?",
            "Show the {few} products with the highest price.",
        ),
        sql="select product_name from products order by price desc limit {few}",
    ),
    Kind(
        phrasings=(
            "How many pieces of all {category} are in stock?",
            "What is the total stock of {category}?",
        ),
        sql="select sum(stock) from products join categories using (category_id) "
        "where category_name = '{category}'",
    ),
    Kind(
        phrasings=("Which orders did {customer} place?", "Show the orders of {customer}."),
        sql="select order_id from orders join customers using (customer_id) "
        "where customer_name = '{customer}'",
    ),
    Kind(
        phrasings=(
            "Which orders from {city} are {status}?",
            "Show the {status} orders of customers in {city}.",
        ),
        sql="select order_id from orders join customers using (customer_id) "
        "where city = '{city}' and status = '{status}'",
    ),
    Kind(
        phrasings=(
            "Which products come from {brand}?",
            "What does {brand} make?",
        ),
        sql="select product_name from products join brands using (brand_id) "
        "where brand_name = '{brand}'",
    ),
    Kind(
        phrasings=(
            "Which {category} cost less than {price}?",
            "List the {category} with a price below {price}.",
        ),
        sql="select product_name from products join categories using (category_id) "
        "where category_name = '{category}' and price < {price}",
    ),
    Kind(
        phrasings=(
            "What is the average price of products from {country}?",
            "How much do products from {country} cost on average?",
        ),
        sql="select avg(price) from products join brands using (brand_id) "
        "where country = '{country}'",
    ),
    Kind(
        phrasings=(
            "Which products did {customer} review?",
            "List the products with a review by {customer}.",
        ),
        sql="select product_name from products join reviews using (product_id) "
        "join customers using (customer_id) where customer_name = '{customer}'",
    ),
    Kind(
        phrasings=(
            "Who gave the {product} {stars} stars?",
            "Which customers rated the {product} with {stars}?",
        ),
        sql="select customer_name from customers join reviews using (customer_id) "
        "join products using (product_id) where product_name = '{product}' and rating = {stars}",
    ),
    Kind(
        phrasings=(
            "How many products of each category cost more than {price}?",
            "For each category, count the products above a price of {price}.",
        ),
        sql="select category_name, count(*) from products join categories using (category_id) "
        "where price > {price} group by category_name",
    ),
)


def asked(rng: random.Random, kind: Kind, phrasing: str) -> Question:
    """A question of `kind` in the words of `phrasing`, about values of any sort."""
    values = {name: rng.choice(choices) for name, choices in VALUES.items()}
    return Question(
        text=phrasing.format(**values), sql=kind.sql.format(**values), kind=kind, values=values
    )
