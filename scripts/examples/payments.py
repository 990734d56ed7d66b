"""Extraction: a sentence about a payment, and its name, amount and date as JSON."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator

from scripts.examples.people import full_name
from scripts.examples.rows import Pair
from scripts.wordlist import listed

SYSTEM = "Read the payment and answer in JSON with payer, amount and date."

_MONTHS = listed(
    "January February March April May June July August September October November December"
)
_GOODS = listed(
    "rent tickets books repairs lessons coffee fuel cleaning printing flowers insurance concert "
    "lunch parking software"
)
_SENTENCES = (
    "{name} paid {amount} euros on {date}.",
    "{name} paid {amount} euros for {goods} on {date}.",
    "On {date} {name} paid {amount} euros.",
    "On {date} we received {amount} euros from {name}.",
    "We received {amount} euros from {name} on {date}.",
    "{amount} euros came in from {name} on {date} for {goods}.",
    "Invoice {number}: {name} sent {amount} euros on {date}.",
    "The {goods} bill of {amount} euros was paid by {name} on {date}.",
    "A payment of {amount} euros by {name} reached us on {date}.",
    "{name} settled invoice {number} on {date} with {amount} euros.",
    "{date}: {amount} euros from {name} for {goods}.",
    "Please note that {name} transferred {amount} euros on {date}.",
)


def draws(rng: random.Random) -> Iterator[Pair]:
    """Sentences and the JSON that they say, without end."""
    while True:
        yield _draw(rng)


def _draw(rng: random.Random) -> Pair:
    """One sentence and the JSON that it says."""
    name = full_name(rng)
    date = f"{rng.randint(1, 28)} {rng.choice(_MONTHS)}"
    amount = rng.choice((rng.randint(10, 99), rng.randint(100, 999), rng.randint(1000, 9999)))
    text = rng.choice(_SENTENCES).format(
        name=name,
        date=date,
        amount=amount,
        goods=rng.choice(_GOODS),
        number=rng.randint(1000, 9999),
    )
    return text, json.dumps({"payer": name, "amount": amount, "date": date})
