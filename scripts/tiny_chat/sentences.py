"""Sentences whose parts are known: natural ones, and ones in which made-up words mark the parts."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from scripts.tiny_chat import words

QUESTION_WORDS = {
    "person": "who",
    "place": "where",
    "number": "how many",
    "thing": "what",
    "day": "when",
    "code": "which code",
    "quality": "how",
}
"""The kinds of part that a natural sentence can have, and how one asks for each."""

_NATURAL = (
    "{person} lives in {place}",
    "{person} moved to {place} on {day}",
    "{person} has {number} {thing}s",
    "{person} bought the {thing} in {place}",
    "{person} saw the {quality} {thing} on {day}",
    "{person} gave the {thing} to a friend in {place}",
    "{person} will visit {place} on {day}",
    "{person} of {place} is {quality}",
    "{person} took {number} photos of the {thing}",
    "{person} has the number {code}",
    "{person} lost {code} in {place}",
    "{person} wants a {quality} {thing}",
    "{person}, who lives in {place}, sold the {thing} for {number}",
    "{person} is looking for a {thing} in {place}",
    "{person} wrote about the {thing} of {place} on {day}",
    "{person} is {number} years old",
    "On {day} {person} came to {place}",
    "On {day} the {thing} was {quality}",
    "On {day}, {number} people left {place}",
    "In {place} there are {number} {thing}s",
    "In {place} {person} found {code}",
    "In {place} the {thing} is {quality}",
    "At {place}, {person} showed us a {quality} {thing}",
    "The {thing} in {place} is {quality}",
    "The {thing} {code} belongs to {person}",
    "The {thing} costs {number} dollars",
    "The {thing} with the code {code} is in {place}",
    "The {quality} {thing} was found on {day} by {person}",
    "The {thing} weighs {number} pounds and is {quality}",
    "The {thing} from {place} came on {day}",
    "A {quality} {thing} stood near {place}",
    "A letter from {person} came on {day}",
    "Box {code}: {number} {thing}s for {person}",
    "Number {code} is {person}, room {number}",
    "We met {person} on {day} at {place}",
    "We need {number} {thing}s on {day}",
    "We sold {number} {thing}s to {person}",
    "I think that {person} is {quality}",
    "I got {number} letters from {person} since {day}",
    "I sent the {thing} to {place} with the number {code}",
    "My {thing} is {quality} since {day}",
    "My friend {person} needs a {thing}",
    "Our {thing} in {place} has room for {number} people",
    "Their {thing} went to {place} on {day}",
    "It was {quality} in {place} on {day}",
    "There is a {quality} {thing} in {place}",
    "There were {number} {thing}s near {place} on {day}",
    "Nobody but {person} knows {code}",
    "Did {person} go to {place}",
    "Did {person} see the {thing}",
    "Is the {thing} of {person} {quality}",
    "Can {person} come to {place} on {day}",
    "Does the {thing} cost more than {number}",
    "Are there over {number} {thing}s in {place}",
    "Please tell {person} that the {thing} is {quality}",
    "Please bring {number} {thing}s to {place}",
    "Take the {thing} to {person} in {place}",
    "Look for {code} in the {thing}",
    "Give {person} the {quality} {thing}",
    "Write to {person} before {day}",
    "Hello, my name is {person} and my code is {code}",
    "Hi, I am {person} from {place}",
    "{day}: {person} at {place}",
    "{place}, {day}: {number} {thing}s",
    "{number} {thing}s went from {place} to {person}",
    "{number} of the {thing}s are {quality}",
)
_ENDS = (".", ".", ".", ".", "", "!")


@dataclass(frozen=True, kw_only=True)
class Sentence:
    """A text, and its parts: the label by which a task refers to a part, and the part itself."""

    text: str
    parts: dict[str, str]


def natural(rng: random.Random, kinds: Sequence[str] = ()) -> Sentence:
    """An English sentence that has parts of these `kinds`, which are keys of `QUESTION_WORDS`."""
    pattern = rng.choice(_patterns_with(frozenset(kinds)))
    parts = {kind: part_of_kind(rng, kind) for kind in QUESTION_WORDS if f"{{{kind}}}" in pattern}
    text = pattern.format(**parts) + rng.choice(_ENDS)
    if rng.random() < 0.2:
        text = f"{natural_aside(rng)} {text}"
    return Sentence(text=text, parts=parts)


@cache
def _patterns_with(kinds: frozenset[str]) -> tuple[str, ...]:
    return tuple(p for p in _NATURAL if all(f"{{{kind}}}" in p for kind in kinds))


def natural_aside(rng: random.Random) -> str:
    """A few words that say nothing about the sentence after them."""
    if rng.random() < 0.5:
        return rng.choice(("Well,", "By the way:", "Listen,", "As you know,", "Good news:", "So"))
    return f"The {rng.choice(words.ADJECTIVES)} {rng.choice(words.NOUNS)} is here."


def marked(rng: random.Random, markers: Sequence[str] = ()) -> Sentence:
    """Words of any kind, some of which mark the part that follows; a part's label is its marker."""
    pieces: list[str] = []
    parts: dict[str, str] = {}
    for marker in markers or words.words(rng, 2, 4):
        value = free_part(rng)
        parts[marker] = value
        pieces += [marker, value]
        if rng.random() < 0.3:
            pieces.append(rng.choice((",", "and", ";", words.any_word(rng))))
    text = " ".join(pieces) + rng.choice(_ENDS)
    return Sentence(text=text.replace(" ,", ",").replace(" ;", ";"), parts=parts)


def part_of_kind(rng: random.Random, kind: str) -> str:
    """A part that a natural sentence can have."""
    unknown = rng.random() < 0.5
    match kind:
        case "person":
            first = made_up_name(rng) if unknown else rng.choice(words.NAMES)
            return first if rng.random() < 0.5 else f"{first} {made_up_name(rng)}"
        case "place":
            return made_up_name(rng) if unknown else rng.choice(words.PLACES)
        case "number":
            return words.digits(rng)
        case "thing":
            thing = words.made_up_word(rng) if rng.random() < 0.3 else rng.choice(words.NOUNS)
            return thing if rng.random() < 0.8 else f"{rng.choice(words.NOUNS)} {thing}"
        case "day":
            return day(rng)
        case "code":
            return words.code(rng)
        case _:
            return rng.choice(words.ADJECTIVES)


def free_part(rng: random.Random) -> str:
    """One to three words, or a part of a natural sentence."""
    if rng.random() < 0.4:
        return part_of_kind(rng, rng.choice(list(QUESTION_WORDS)))
    return " ".join(words.words(rng, 1, rng.choice((1, 1, 2, 3))))


def day(rng: random.Random) -> str:
    """A weekday or a date."""
    month, number = rng.choice(words.MONTHS), rng.randint(1, 31)
    return rng.choice((rng.choice(words.DAYS), f"{month} {number}", f"{number} {month}"))


def made_up_name(rng: random.Random) -> str:
    """A made-up word with a capital."""
    return words.made_up_word(rng).capitalize()
