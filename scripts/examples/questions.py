"""The demo's task: questions about a small shop, answered with SQL."""

from __future__ import annotations

import random
from collections.abc import Iterator

from scripts.examples.people import FIRST
from scripts.examples.rows import Pair
from scripts.wordlist import listed

SYSTEM = (
    "Answer with one SQL query. Tables: customers(name, city, age), "
    "products(name, category, price, stock), orders(customer, product, quantity, status)."
)

_CITIES = listed(
    "Ankara Athens Basel Berlin Bogota Boston Brno Cairo Cork Dakar Delhi Dublin Geneva Ghent Graz "
    "Hamburg Hanoi Havana Helsinki Izmir Kyoto Lagos Lima Lisbon London Lyon Madrid Manila Miami "
    "Milan Montreal Nairobi Naples Osaka Oslo Paris Porto Prague Quito Riga Rome Seoul Seville "
    "Sofia Tallinn Tokyo Toronto Tunis Turin Vienna Warsaw Zurich"
)
_CATEGORIES = listed("books bags chairs clothes drinks games lamps shoes snacks sports tools toys")
_PRODUCTS = listed(
    "apron backpack basket bicycle blanket bottle bowl bracelet bucket camera candle carpet "
    "compass curtain drum fan flute guitar hammer hat helmet jacket kettle keyboard knife ladder "
    "lantern mirror mug necklace notebook oven pan pencil piano pillow puzzle radio ring rope "
    "ruler scarf scooter shovel skateboard sofa spoon suitcase sweater telescope tent towel tray "
    "tripod umbrella vase violin wallet watch whistle"
)
_STATUSES = ("open", "paid", "shipped", "cancelled", "delivered", "returned")

# The phrasings of one kind of question, and its query; `{…}` is filled with a value of that name.
_KINDS: tuple[tuple[tuple[str, ...], str], ...] = (
    (
        ("Which customers live in {city}?", "List the customers from {city}."),
        "SELECT name FROM customers WHERE city = '{city}';",
    ),
    (
        ("How many customers live in {city}?", "Count the customers from {city}."),
        "SELECT COUNT(*) FROM customers WHERE city = '{city}';",
    ),
    (
        (
            "Which customers are older than {number}?",
            "List the customers over {number} years of age.",
        ),
        "SELECT name FROM customers WHERE age > {number};",
    ),
    (
        (
            "Which customers are younger than {number}?",
            "List the customers under {number} years of age.",
        ),
        "SELECT name FROM customers WHERE age < {number};",
    ),
    (
        ("How old is {person}?", "What is the age of {person}?"),
        "SELECT age FROM customers WHERE name = '{person}';",
    ),
    (
        ("Where does {person} live?", "In which city does {person} live?"),
        "SELECT city FROM customers WHERE name = '{person}';",
    ),
    (
        (
            "Which products cost more than {number}?",
            "List the products with a price above {number}.",
        ),
        "SELECT name FROM products WHERE price > {number};",
    ),
    (
        (
            "Which products cost less than {number}?",
            "List the products with a price below {number}.",
        ),
        "SELECT name FROM products WHERE price < {number};",
    ),
    (
        ("What is the average price of the {category}?", "How much do {category} cost on average?"),
        "SELECT AVG(price) FROM products WHERE category = '{category}';",
    ),
    (
        ("How much does the {product} cost?", "What is the price of the {product}?"),
        "SELECT price FROM products WHERE name = '{product}';",
    ),
    (
        (
            "Show the {small} most expensive products.",
            "What are the {small} most expensive products?",
        ),
        "SELECT name FROM products ORDER BY price DESC LIMIT {small};",
    ),
    (
        ("What did {person} order?", "Which products did {person} buy?"),
        "SELECT product FROM orders WHERE customer = '{person}';",
    ),
    (
        ("Who ordered the {product}?", "Which customers bought the {product}?"),
        "SELECT customer FROM orders WHERE product = '{product}';",
    ),
    (
        ("How many orders of {person} are {status}?", "Count the {status} orders of {person}."),
        "SELECT COUNT(*) FROM orders WHERE customer = '{person}' AND status = '{status}';",
    ),
)


def draws(rng: random.Random) -> Iterator[Pair]:
    """Questions and their queries without end, every phrasing as often as any other."""
    ways = [(phrasing, query) for phrasings, query in _KINDS for phrasing in phrasings]
    while True:
        for phrasing, query in rng.sample(ways, len(ways)):
            values = _values(rng)
            yield phrasing.format(**values), query.format(**values)


def _values(rng: random.Random) -> dict[str, str]:
    return {
        "city": rng.choice(_CITIES),
        "category": rng.choice(_CATEGORIES),
        "product": rng.choice(_PRODUCTS),
        "status": rng.choice(_STATUSES),
        "person": rng.choice(FIRST),
        "number": str(rng.randint(11, 99)),
        "small": str(rng.randint(2, 20)),
    }
