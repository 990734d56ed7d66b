"""Images are drawn in the order in which they were asked for, and nobody is drawn for in vain."""

import queue

import pytest

from tests.inference.tiny_image import asked
from tunery.core.errors import InvalidValue
from tunery.core.image_generations import Painted, PaintRequest
from tunery.inference.one_by_one import OneByOne, OnStep
from tunery.inference.picture_protocol import Advanced, Answer, Command, Done, Paint
from tunery.inference.protocol import Refused, Stop


class Studio:
    """Draws in as many steps as the settings say; a step takes 0.1 s of its own clock."""

    def __init__(self) -> None:
        self.commands: queue.SimpleQueue[Command] = queue.SimpleQueue()
        self.said: list[Answer] = []
        self.time = 0.0
        self.steps = 0
        self.meanwhile: dict[int, Command] = {}
        self.serving = OneByOne(self.draw, self.said.append, self.commands, lambda: self.time)

    def ask(self, number: int, *, steps: int = 1, prompt: str = "a circle") -> None:
        self.commands.put(Paint(number, asked(steps=steps, prompt=prompt)))

    def draw(self, request: PaintRequest, on_step: OnStep) -> Painted:
        n_steps = request.settings.steps or 0
        if request.settings.prompt == "bad":
            raise InvalidValue("no such model", param="model")
        if request.settings.prompt == "broken":
            raise FileNotFoundError(2, "No such file", "/home/somebody/model")
        for step in range(1, n_steps + 1):
            self.time += 0.1
            self.steps += 1
            if self.steps in self.meanwhile:
                self.commands.put(self.meanwhile[self.steps])
            on_step(step / n_steps)
        return Painted(image=request.settings.prompt.encode())


def done(number: int) -> Done:
    return Done(number, Painted(image=b"a circle"))


def test_images_come_in_the_order_in_which_they_were_asked_for() -> None:
    studio = Studio()
    for number in (4, 2, 9):
        studio.ask(number)
    for _ in range(3):
        studio.serving.turn()
    assert [answer for answer in studio.said if isinstance(answer, Done)] == [
        done(4),
        done(2),
        done(9),
    ]


def test_how_far_an_image_is_is_said_a_few_times_a_second_and_at_the_end() -> None:
    studio = Studio()
    studio.ask(1, steps=10)
    studio.serving.turn()
    *advanced, last = studio.said
    assert advanced == [Advanced(1, share) for share in (0.3, 0.6, 0.9, 1.0)]
    assert last == done(1)


def test_an_image_that_nobody_waits_for_ends_at_its_next_step() -> None:
    studio = Studio()
    studio.ask(1, steps=100)
    studio.meanwhile = {7: Stop(1)}
    studio.serving.turn()
    assert studio.steps == 7
    assert not any(isinstance(answer, Done | Refused) for answer in studio.said)
    studio.ask(2)
    studio.serving.turn()
    assert studio.said[-1] == done(2)


def test_an_image_that_nobody_waits_for_is_never_begun() -> None:
    studio = Studio()
    studio.ask(1)
    studio.ask(2)
    studio.commands.put(Stop(1))
    studio.serving.turn()
    assert studio.said[-1] == done(2)
    assert studio.steps == 1


def test_hanging_up_on_what_is_over_harms_nobody() -> None:
    studio = Studio()
    studio.commands.put(Stop(1))
    studio.serving.turn()
    assert studio.said == []
    studio.ask(2)
    studio.serving.turn()
    assert studio.said[-1] == done(2)


def test_an_image_that_fails_says_why_and_the_next_is_drawn(
    capfd: pytest.CaptureFixture[str],
) -> None:
    studio = Studio()
    studio.ask(1, prompt="bad")
    studio.ask(2, prompt="broken")
    studio.ask(3)
    for _ in range(3):
        studio.serving.turn()
    assert studio.said[0] == Refused(1, "invalid", "no such model", "model", "invalid_value")
    assert isinstance(studio.said[1], Refused)
    assert "(FileNotFoundError)" in studio.said[1].message
    assert "/home/somebody" not in studio.said[1].message
    assert "/home/somebody/model" in capfd.readouterr().err
    assert studio.said[-1] == done(3)
