"""The pre-training conversations: tasks that need nothing but what the conversation says.

Nothing here knows SQL or the formats of the example sets. What is practised is what any later
format needs: copying words never seen before, finding the part of a sentence that is asked for,
filling a form of arbitrary symbols, choosing by a rule, changing case and order, and picking up a
rule from examples.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from scripts.tiny_chat import words
from scripts.tiny_chat.sentences import (
    QUESTION_WORDS,
    Sentence,
    day,
    free_part,
    made_up_name,
    marked,
    natural,
    part_of_kind,
)


@dataclass(frozen=True, kw_only=True)
class Message:
    """One message; of the assistant's, only the taught ones are learnt."""

    role: str
    content: str
    taught: bool = True


Conversation = tuple[Message, ...]
Exchange = tuple[str, str]

_UPPER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_MARKS = "_*()<>='.,;:#@/|+-[]\"!?%&"


def asked(system: str, *exchanges: Exchange, untaught: int = 0) -> Conversation:
    """Questions and answers under a system message; the first `untaught` answers are not learnt."""
    messages = [Message(role="system", content=system)] if system else []
    for index, (question, answer) in enumerate(exchanges):
        messages.append(Message(role="user", content=question))
        messages.append(Message(role="assistant", content=answer, taught=index >= untaught))
    return tuple(messages)


# -- Forms: a text of arbitrary symbols with places for the parts of a sentence. ------------------


def fill_form(rng: random.Random) -> Conversation:
    """The form stands in the system message, one or two sentences follow."""
    first = _sentence(rng)
    labels = _some(rng, list(first.parts))
    form = _form(rng, labels)
    others = [_sentence_like(rng, first, labels) for _ in range(rng.choice((0, 0, 1, 2)))]
    return asked(
        f"{rng.choice(('Fill', 'Fill in', 'Use the form', 'Write', 'Answer as'))} {form}",
        *((s.text, _filled(form, s)) for s in (first, *others)),
    )


def form_by_example(rng: random.Random) -> Conversation:
    """Nobody says the form: it must be seen in the answers given so far."""
    first = _sentence(rng)
    labels = _some(rng, list(first.parts))
    form = _form(rng, labels)
    others = [_sentence_like(rng, first, labels) for _ in range(rng.randint(2, 5))]
    exchanges = [(s.text, _filled(form, s)) for s in (first, *others)]
    return asked(_vague_request(rng), *exchanges, untaught=1)


def form_by_word(rng: random.Random) -> Conversation:
    """Two or three forms; a word of the question says which one it is."""
    first = _sentence(rng)
    labels = _some(rng, list(first.parts))[:2]
    signals = words.words(rng, 2, 3)
    forms = {signal: _form(rng, labels) for signal in signals}

    def exchange(sentence: Sentence, signal: str) -> Exchange:
        text = sentence.text
        question = rng.choice((f"{signal} {text}", f"{text} {signal}", f"{signal}: {text}"))
        return question, _filled(forms[signal], sentence)

    if rng.random() < 0.6:
        system = " ".join(f"If {signal}: {form}" for signal, form in forms.items())
        return asked(system, exchange(first, rng.choice(signals)))
    order = [*signals, *(rng.choice(signals) for _ in range(rng.randint(1, 3)))]
    exchanges = [exchange(_sentence_like(rng, first, labels), signal) for signal in order]
    return asked(_vague_request(rng), *exchanges, untaught=len(signals))


def _sentence(rng: random.Random) -> Sentence:
    return natural(rng) if rng.random() < 0.65 else marked(rng)


def _sentence_like(rng: random.Random, first: Sentence, labels: Sequence[str]) -> Sentence:
    """Another sentence that has the parts `labels`."""
    if set(first.parts) <= set(QUESTION_WORDS):
        return natural(rng, labels)
    return marked(rng, list(first.parts))


def _form(rng: random.Random, labels: Sequence[str]) -> str:
    """Symbols, and each of `labels` in braces among them."""
    if rng.random() < 0.15:
        keys = [words.any_word(rng) for _ in labels]
        return ", ".join(f'"{k}": "{{{v}}}"' for k, v in zip(keys, labels, strict=True))
    glue = rng.choice((" ", " ", " ", "", "; "))
    wrap = rng.choice(("{}", "{}", "'{}'", '"{}"', "({})", "<{}>", "{};"))
    pieces: list[str] = []
    for label in labels:
        pieces += [_symbols(rng) for _ in range(rng.randint(0, 2))]
        pieces.append(wrap.format(f"{{{label}}}") if rng.random() < 0.7 else f"{{{label}}}")
    pieces += [_symbols(rng) for _ in range(rng.randint(0, 1))]
    return glue.join(pieces)


def _symbols(rng: random.Random) -> str:
    """Capitals, punctuation or a word: anything but a part of the sentence."""
    draw = rng.random()
    if draw < 0.35:
        return "".join(rng.choice(_UPPER) for _ in range(rng.randint(1, 5)))
    if draw < 0.6:
        return "".join(rng.choice(_MARKS) for _ in range(rng.randint(1, 2)))
    word = words.any_word(rng)
    return rng.choice((word, word, word.capitalize(), word.upper()))


def _filled(form: str, sentence: Sentence) -> str:
    for label, part in sentence.parts.items():
        form = form.replace(f"{{{label}}}", part)
    return form


def _vague_request(rng: random.Random) -> str:
    return rng.choice(
        ("", "Go on like this.", "Do the same.", "Follow the examples.", f"{words.any_word(rng)}.")
    )


def _some(rng: random.Random, items: list[str]) -> list[str]:
    return rng.sample(items, rng.randint(1, len(items)))


# -- Questions about a sentence. -----------------------------------------------------------------


def ask_for_part(rng: random.Random) -> Conversation:
    """What is in the sentence, asked in the system message or after it."""
    if rng.random() < 0.3:
        sentence = marked(rng)
        label = rng.choice(list(sentence.parts))
        return asked(f"What comes after {label}?", (sentence.text, sentence.parts[label]))
    sentence = natural(rng)
    label = rng.choice(list(sentence.parts))
    question = rng.choice((f"Give the {label}.", f"{QUESTION_WORDS[label].capitalize()}?"))
    answer = sentence.parts[label]
    if rng.random() < 0.5:
        return asked(question, (sentence.text, answer))
    follow_ups = [
        (f"{QUESTION_WORDS[other].capitalize()}?", part) for other, part in sentence.parts.items()
    ]
    rng.shuffle(follow_ups)
    return asked("Answer the questions.", (f"{sentence.text} {question}", answer), *follow_ups[:2])


def ask_for_kind(rng: random.Random) -> Conversation:
    """A list of things of several kinds, and the one that is asked for."""
    kinds = rng.sample(list(QUESTION_WORDS), rng.randint(2, 4))
    parts = {kind: part_of_kind(rng, kind) for kind in kinds}
    kind = rng.choice(kinds)
    text = rng.choice((", ", " ", " and ", "\n", "; ")).join(parts.values())
    return asked(f"Give the {kind}.", (text, parts[kind]))


# -- Choosing by a rule. -------------------------------------------------------------------------


def label_by_rule(rng: random.Random) -> Conversation:
    """Words that stand for labels; the text has one of them."""
    labels = words.words(rng, 2, 4)
    signals: dict[str, list[str]] = {
        label: [words.common_word(rng) for _ in range(rng.randint(1, 2))] for label in labels
    }
    rules = "; ".join(f"{' or '.join(found)}: {label}" for label, found in signals.items())

    def exchange() -> Exchange:
        label = rng.choice(labels)
        text = _with_word(rng, rng.choice(signals[label]))
        return text, label

    system = f"{rng.choice(('Choose.', 'Give the label.', 'Sort the texts.'))} {rules}"
    return asked(system, *(exchange() for _ in range(rng.randint(1, 3))))


def label_by_example(rng: random.Random) -> Conversation:
    """The answers given so far tell which word stands for which label."""
    labels = words.words(rng, 2, 3)
    signal = {label: words.common_word(rng) for label in labels}
    order = [*labels, *(rng.choice(labels) for _ in range(rng.randint(2, 4)))]
    exchanges = [(_with_word(rng, signal[label]), label) for label in order]
    return asked(_vague_request(rng), *exchanges, untaught=len(labels))


def yes_or_no(rng: random.Random) -> Conversation:
    """Whether a word is in the text."""
    text = words.words(rng, 3, 8)
    word = rng.choice(text) if rng.random() < 0.5 else words.any_word(rng)
    return asked(
        f"Is {word} in the text? Answer yes or no.",
        (" ".join(text), "yes" if word in text else "no"),
    )


def _with_word(rng: random.Random, word: str) -> str:
    """A text that has `word` in it."""
    if rng.random() < 0.5:
        text = words.words(rng, 2, 6)
        text.insert(rng.randint(0, len(text)), word)
        return " ".join(text)
    thing = rng.choice(words.NOUNS)
    return rng.choice(
        (
            f"The {thing} is {word}.",
            f"I wrote about {word} to {rng.choice(words.NAMES)}.",
            f"My {word} and the {thing} came on {day(rng)}.",
            f"Hello, is the {word} in {part_of_kind(rng, 'place')}?",
            f"There is a {word} near the {thing}.",
            f"{natural(rng).text} {word.capitalize()} too.",
        )
    )


# -- Words: order, case, mapping. ----------------------------------------------------------------


def word_work(rng: random.Random) -> Conversation:
    """Copy, reorder, cut or wrap the words of a text."""
    name, work = rng.choice(_WORD_WORK)
    texts = [words.words(rng, 2, 7) for _ in range(rng.choice((1, 1, 2, 3)))]
    return asked(name, *((" ".join(text), work(text)) for text in texts))


_WORD_WORK: tuple[tuple[str, Callable[[list[str]], str]], ...] = (
    ("Repeat the text.", " ".join),
    ("Copy the words with commas.", ", ".join),
    ("One word per line.", "\n".join),
    ("First word.", lambda text: text[0]),
    ("Last word.", lambda text: text[-1]),
    ("Second word.", lambda text: text[1]),
    ("First and last word.", lambda text: f"{text[0]} {text[-1]}"),
    ("Reverse the words.", lambda text: " ".join(reversed(text))),
    ("Leave out the first word.", lambda text: " ".join(text[1:])),
    ("Leave out the last word.", lambda text: " ".join(text[:-1])),
    ("Put the last word first.", lambda text: " ".join([text[-1], *text[:-1]])),
    ("Say every word twice.", lambda text: " ".join(f"{word} {word}" for word in text)),
    ("Put each word in brackets.", lambda text: " ".join(f"[{word}]" for word in text)),
    ("Put quotes around the text.", lambda text: f'"{" ".join(text)}"'),
    ("Number the words.", lambda text: " ".join(f"{i} {w}" for i, w in enumerate(text, 1))),
    ("How many words?", lambda text: str(len(text))),
    ("Begin with capitals.", lambda text: " ".join(word[:1].upper() + word[1:] for word in text)),
    ("First letters.", lambda text: " ".join(word[0] for word in text)),
)


def change_case(rng: random.Random) -> Conversation:
    """Capitals to small letters and back."""
    word = [rng.choice((words.common_word(rng), words.made_up_word(rng))) for _ in range(3)]
    text = " ".join(word[: rng.randint(1, 3)])
    system, given, wanted = rng.choice(
        (
            ("In capitals.", text, text.upper()),
            ("In small letters.", text.upper(), text),
            ("In small letters.", text.title(), text),
            ("Begin with a capital.", text, text.capitalize()),
            ("Small first letter.", text.capitalize(), text),
        )
    )
    return asked(system, (given, wanted))


def repeat_sentence(rng: random.Random) -> Conversation:
    """Copy a sentence, with a change at one of its ends."""
    text = _sentence(rng).text
    add = " ".join(words.words(rng, 1, 2))
    small = text[:1].lower() + text[1:]
    bare = text.rstrip(".!")
    system, answer = rng.choice(
        (
            ("Repeat the text.", text),
            (f"Put {add} before the text.", f"{add} {text}"),
            (f"Put {add} after the text.", f"{text} {add}"),
            (f"Begin with {add}", f"{add} {small}"),
            ("Ask it.", f"{bare}?"),
            (f"End with {add}", f"{bare} {add}"),
            ("Shout.", f"{bare}!"),
            ("Quote it.", f'"{text}"'),
        )
    )
    return asked(system, (text, answer))


def replace_word(rng: random.Random) -> Conversation:
    """One word of the text gives way to another."""
    text = words.words(rng, 3, 7)
    old, new = rng.choice(text), words.any_word(rng)
    answer = " ".join(new if word == old else word for word in text)
    system = rng.choice(
        (f"Replace {old} by {new}.", f"Write {new} for {old}.", f"Change {old} to {new}.")
    )
    return asked(system, (" ".join(text), answer))


def map_words(rng: random.Random) -> Conversation:
    """Numbers, months, opposites, other words for the same, forms of verbs."""
    verb = rng.choice(words.VERBS)
    number, month = rng.randrange(len(words.NUMBERS)), rng.randrange(12)
    noun = rng.choice(words.NOUNS)
    left, right = rng.choice(words.OPPOSITES)
    one, other = rng.choice(words.SYNONYMS)
    system, given, wanted = rng.choice(
        (
            ("Write the number.", words.NUMBERS[number], str(number)),
            ("Write the number in words.", str(number), words.NUMBERS[number]),
            ("Number of the month.", words.MONTHS[month], str(month + 1)),
            ("Name of the month.", str(month + 1), words.MONTHS[month]),
            ("Short form.", words.MONTHS[month], words.MONTHS[month][:3]),
            ("Say the opposite.", left, right),
            ("Say the opposite.", right, left),
            ("Another word.", one, other),
            ("Another word.", other, one),
            ("Past form.", verb[0], verb[1]),
            ("Base form.", verb[1], verb[0]),
            ("Many.", noun, f"{noun}s"),
        )
    )
    return asked(system, (given, wanted))


def kind_of_word(rng: random.Random) -> Conversation:
    """Name, place, month, number, color … of a word."""
    kind, found = rng.choice(
        (
            ("name", rng.choice(words.NAMES)),
            ("place", rng.choice(words.PLACES)),
            ("month", rng.choice(words.MONTHS)),
            ("day", rng.choice(words.DAYS)),
            ("number", rng.choice((words.digits(rng), rng.choice(words.NUMBERS)))),
            ("thing", rng.choice(words.NOUNS)),
            ("quality", rng.choice(words.ADJECTIVES)),
            ("action", rng.choice(words.VERBS)[rng.randrange(2)]),
        )
    )
    return asked("What kind of word is it?", (found, kind))


# -- Rewriting sentences. ------------------------------------------------------------------------


def rewrite(rng: random.Random) -> Conversation:
    """Passive, question, reported speech, other person, polite and rude."""
    verb = rng.choice(words.VERBS)
    who, whom = made_up_name(rng), rng.choice(words.NAMES)
    if rng.random() < 0.5:
        who, whom = whom, who
    thing = part_of_kind(rng, "thing")
    place = part_of_kind(rng, "place")
    quality = rng.choice(words.ADJECTIVES)
    tail = rng.choice(
        ("", f" in {place}", f" on {day(rng)}", f" for {whom}", f" with {whom}", f" to {whom}")
    )
    done = f"{verb[0]} the {thing}{tail}"
    command = f"{done[0].upper()}{done[1:]}"
    active = f"{who} {verb[1]} the {thing}."
    passive = f"The {thing} was {verb[2]} by {who}."
    system, given, wanted = rng.choice(
        (
            ("Say who did it last.", active, passive),
            ("Say who did it first.", passive, active),
            ("Ask.", f"The {thing} is {quality}.", f"Is the {thing} {quality}?"),
            ("Tell.", f"Is the {thing} {quality}?", f"The {thing} is {quality}."),
            ("Say no.", f"The {thing} is {quality}.", f"The {thing} is not {quality}."),
            ("In the past.", f"I {done}.", f"I {verb[1]} the {thing}{tail}."),
            ("About the future.", f"I {done}.", f"I will {done}."),
            ("Who said it?", f"{who}: I {done}.", f"{who} said that I {done}."),
            ("Kindly.", f"{command}.", f"Kindly {done}."),
            ("As a wish.", f"{command}.", f"I would like you to {done}."),
            ("As a plan.", f"{command}.", f"We are going to {done}."),
            ("As a duty.", f"{command}.", f"You must {done}."),
            ("Short.", f"I would like you to {done}.", f"{command}."),
            ("Short.", f"You must {done}, {who}.", f"{command}, {who}."),
            ("Together.", f"{command}.", f"Let us {done}."),
        )
    )  # fmt: skip
    return asked(system, (given, wanted))


# -- Look-ups, short and long. -------------------------------------------------------------------


def look_up(rng: random.Random, size: int | None = None) -> Conversation:
    """A list of keys and values in the question or the system message; `size` is its length."""
    count = size or rng.randint(2, 8)
    keys: dict[str, str] = {}
    while len(keys) < count:
        keys[words.any_word(rng)] = free_part(rng)
    mark = rng.choice((": ", " = ", " is ", " -> ", "="))
    gap = rng.choice(("\n", "\n", ", ", "; "))
    table = gap.join(f"{key}{mark}{value}" for key, value in keys.items())
    wanted = rng.sample(list(keys), min(count, 1 if size is None else 6))
    exchanges = [(key, keys[key]) for key in wanted]
    if size is None and rng.random() < 0.5:
        return asked("Look it up.", (f"{table}\n{wanted[0]}?", keys[wanted[0]]))
    return asked(f"Look it up.\n{table}", *exchanges)


def long_look_up(rng: random.Random) -> Conversation:
    """A list of several hundred to two thousand tokens."""
    return look_up(rng, size=rng.randint(30, 190))


def long_copy(rng: random.Random) -> Conversation:
    """A page of sentences, to be repeated or asked about."""
    sentences = [_sentence(rng) for _ in range(rng.randint(6, 90))]
    if rng.random() < 0.4:
        half = sentences[: len(sentences) // 2 or 1]
        text = " ".join(sentence.text for sentence in half)
        return asked("Repeat the text.", (text, text))
    text = "\n".join(sentence.text for sentence in sentences)
    picked = rng.sample(sentences, 3)
    starts = [sentence.text.split(" ")[:3] for sentence in picked]
    exchanges = [
        (f"Which line begins with {' '.join(start)}", sentence.text)
        for start, sentence in zip(starts, picked, strict=True)
    ]
    return asked(text, *exchanges)


# -- Talk and tools. -----------------------------------------------------------------------------


def small_talk(rng: random.Random) -> Conversation:
    """What a person tries first."""
    name = rng.choice((made_up_name(rng), rng.choice(words.NAMES)))
    system = rng.choice(("", "", "You are a helpful assistant.", "Be kind.", "Talk with the user."))
    about = "I am tiny-chat, a very small model. I am here to be tuned to a task."
    hello = "Hello! How can I help?"
    return asked(
        system,
        *rng.choice(
            (
                ((rng.choice(("Hello", "Hi", "Hello!", "Good morning", "Hey")), hello),),
                ((f"My name is {name}.", f"Hello, {name}!"), ("What is my name?", name)),
                ((rng.choice(("Who are you?", "What are you?", "What is your name?")), about),),
                ((rng.choice(("What can you do?", "Help me", "How do you work?")), about),),
                ((rng.choice(("Thanks", "Thank you", "Thank you!")), "You are welcome!"),),
                ((rng.choice(("Bye", "Goodbye", "See you")), "Goodbye!"),),
            )
        ),
    )


def use_tool(rng: random.Random) -> Conversation:
    """A tool in the system message, the call, its result, and the answer."""
    name, argument, value, result = words.words(rng, 4, 4)
    tool = {"type": "function", "function": {"name": name, "parameters": {argument: "string"}}}
    call = {"name": name, "arguments": {argument: value}}
    system = Message(role="system", content=rng.choice(("Use the tools.", "Be quick.")))
    return (
        Message(role="system", content=f"Tools:\n{json.dumps(tool)}"),
        *rng.choice(((), (system,))),
        Message(role="user", content=f"{name} {value}"),
        Message(role="assistant", content=json.dumps(call)),
        Message(role="tool", content=result),
        Message(role="assistant", content=result),
    )


# -- The mix. ------------------------------------------------------------------------------------

_SHORT: tuple[tuple[float, Callable[[random.Random], Conversation]], ...] = (
    (24, fill_form),
    (10, form_by_example),
    (8, form_by_word),
    (12, ask_for_part),
    (3, ask_for_kind),
    (6, label_by_rule),
    (2, label_by_example),
    (1, yes_or_no),
    (7, word_work),
    (3, change_case),
    (7, repeat_sentence),
    (3, replace_word),
    (3, map_words),
    (1, kind_of_word),
    (8, rewrite),
    (4, look_up),
    (0.5, small_talk),
    (0.5, use_tool),
)
TASKS = tuple(task for _, task in _SHORT)
_WEIGHTS = tuple(weight for weight, _ in _SHORT)


def ordinary_texts(rng: random.Random, count: int) -> Iterator[str]:
    """Texts to learn a tokenizer from: words, equally often, sentences and conversations."""
    known = (*words.NOUNS, *words.ADJECTIVES, *words.NUMBERS, *(verb for verb, _, _ in words.VERBS))
    proper = (*words.NAMES, *words.PLACES, *words.MONTHS, *words.DAYS)
    for _ in range(count):
        yield " ".join(rng.choices(known, k=8) + rng.choices(words.FUNCTION_WORDS, k=6))
        yield " ".join(
            word.capitalize() for word in rng.choices((*known, *words.FUNCTION_WORDS), k=3)
        )
        yield " ".join(rng.choices(proper, k=2))
        yield natural(rng).text
        yield words.any_word(rng)
        yield rewrite(rng)[-1].content
        if rng.random() < 0.5:
            yield from (message.content for message in short_conversation(rng))


def short_conversation(rng: random.Random) -> Conversation:
    """A conversation of mostly 20 to 200 tokens."""
    return rng.choices(TASKS, _WEIGHTS)[0](rng)


def long_conversation(rng: random.Random) -> Conversation:
    """A conversation of several hundred tokens, up to the whole context."""
    return rng.choice((long_look_up, long_copy))(rng)
