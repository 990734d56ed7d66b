"""Names of people for the example sets; most full names occur once."""

from __future__ import annotations

import random

from scripts.wordlist import listed

FIRST = listed(
    "Ada Amir Anika Bela Bruno Carla Chen Clara Dario Dina Elena Emil Farah Felix Greta Hana Hugo "
    "Ines Ivan Jana Jonas Kaito Karim Lea Leon Lina Luca Maria Marta Mei Milan Nadia Nils Nora "
    "Omar Oscar Paula Pedro Priya Rafael Rosa Samir Sara Sofia Tara Theo Tom Vera Yara Zoe"
)
LAST = listed(
    "Abe Adler Bauer Berg Blanc Brandt Castro Costa Demir Diaz Dubois Evans Farkas Fischer Garcia "
    "Gomez Haddad Hansen Horvat Ito Ivanova Jensen Kaya Keller Khan Klein Kovac Lang Larsen Lopez "
    "Marino Mori Moreau Nagy Novak Okafor Olsen Park Petrov Popa Quinn Reyes Rossi Sato Silva "
    "Singh Suzuki Tanaka Vega Weber"
)


def full_name(rng: random.Random) -> str:
    """A first and a last name."""
    return f"{rng.choice(FIRST)} {rng.choice(LAST)}"
