"""Classification: a support ticket, and the team it belongs to."""

from __future__ import annotations

import random
from collections.abc import Iterator

from scripts.examples.people import FIRST
from scripts.examples.rows import Pair
from scripts.wordlist import listed

SYSTEM = "Which team should answer this ticket? Answer billing, delivery, account or repair."

_ITEMS = listed(
    "lamp chair kettle radio jacket camera printer tent bicycle blender clock desk fan guitar "
    "heater keyboard mixer phone rug scooter sofa table toaster watch"
)
_DAYS = listed("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
_OPENERS = (
    "",
    "",
    "Hello, ",
    "Hi there, ",
    "Good morning, ",
    "Dear team, ",
    "Please help, ",
    "Hello again, ",
)
_CLOSERS = (
    "",
    "",
    " Thanks, {name}",
    " What can I do?",
    " Please look into it.",
    " I wrote on {day} already.",
    " This is the second time.",
    " Regards, {name}",
    " I am waiting since {day}.",
)
_PROBLEMS: dict[str, tuple[str, ...]] = {
    "billing": (
        "I was charged twice for the {item}.",
        "the invoice for the {item} shows the wrong price.",
        "my card was charged {number} euros too much.",
        "I still wait for my refund of {number} euros.",
        "the discount is missing on my invoice for the {item}.",
        "why did I pay {number} euros of tax on the {item}?",
        "can I pay for the {item} by bank transfer?",
        "please send me a receipt for the {item}.",
    ),
    "delivery": (
        "my {item} has not arrived yet.",
        "the parcel with the {item} was left at the wrong door.",
        "tracking says that my {item} is lost.",
        "the courier never came on {day}.",
        "can you ship the {item} to another address?",
        "my parcel is stuck at customs since {day}.",
        "when will the {item} arrive?",
        "the {item} was shipped to my old address.",
    ),
    "account": (
        "I forgot my password.",
        "I cannot log in since {day}.",
        "please change the email of my profile.",
        "how do I delete my profile?",
        "the login page says that my user name is unknown.",
        "my password does not work since {day}.",
        "someone else used my login on {day}.",
        "please change the name on my profile to {name}.",
    ),
    "repair": (
        "the {item} is broken.",
        "my new {item} does not turn on.",
        "the {item} makes a strange noise.",
        "the screen of the {item} is cracked.",
        "a screw of the {item} is missing.",
        "my {item} stopped working on {day}.",
        "the {item} gets very hot when I use it.",
        "the battery of the {item} is empty after an hour.",
    ),
}


def draws(rng: random.Random) -> Iterator[Pair]:
    """Tickets and their teams, without end."""
    while True:
        yield _draw(rng)


def _draw(rng: random.Random) -> Pair:
    """One ticket and its team."""
    team = rng.choice(list(_PROBLEMS))
    ticket = rng.choice(_OPENERS) + rng.choice(_PROBLEMS[team]) + rng.choice(_CLOSERS)
    values = {
        "item": rng.choice(_ITEMS),
        "day": rng.choice(_DAYS),
        "name": rng.choice(FIRST),
        "number": str(rng.randint(5, 250)),
    }
    text = ticket.format(**values)
    return text[0].upper() + text[1:], team
