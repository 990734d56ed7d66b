"""Rewriting: a command, turned into a polite question."""

from __future__ import annotations

import random
from collections.abc import Iterator

from scripts.examples.people import FIRST
from scripts.examples.rows import Pair
from scripts.wordlist import listed

SYSTEM = "Rewrite the command as a polite question."

_COMMANDS = (
    "{send} the {paper} to {name}",
    "{send} {name} the {paper}",
    "{treat} the {paper} before {day}",
    "{move} the {thing} to the {place}",
    "{clean} the {thing} in the {place}",
    "Call {name} at {hour}",
    "Tell {name} that the {thing} is {state}",
    "Ask {name} about the {paper}",
    "Remind {name} to {task} the {paper}",
    "Book the {place} for {day} at {hour}",
)
_WORDS: dict[str, tuple[str, ...]] = {
    "send": ("Send", "Show", "Give", "Forward", "Hand", "Mail"),
    "treat": ("Print", "Check", "Finish", "Sign", "Read", "Update", "Discuss", "Translate"),
    "move": ("Bring", "Carry", "Move", "Take", "Push"),
    "clean": ("Clean", "Repair", "Paint", "Open", "Close", "Lock"),
    "task": ("sign", "read", "check", "print", "finish"),
    "paper": listed(
        "report invoice letter contract plan budget list offer summary form map recipe"
    ),
    "thing": listed(
        "table window box printer lamp chair cupboard bicycle ladder screen heater plant"
    ),
    "place": listed(
        "kitchen office garage garden hall cellar library lobby store studio workshop attic"
    ),
    "state": ("ready", "broken", "clean", "empty", "sold", "late"),
    "day": listed("Monday Tuesday Wednesday Thursday Friday Saturday Sunday"),
    "hour": ("noon", "seven", "eight", "nine", "ten", "eleven"),
    "name": FIRST,
}


def draws(rng: random.Random) -> Iterator[Pair]:
    """Commands and the questions that ask for the same, without end."""
    while True:
        yield _draw(rng)


def _draw(rng: random.Random) -> Pair:
    """One command and the question that asks for the same."""
    command = rng.choice(_COMMANDS).format(**{key: rng.choice(w) for key, w in _WORDS.items()})
    return f"{command}.", f"Could you please {command[0].lower()}{command[1:]}?"
