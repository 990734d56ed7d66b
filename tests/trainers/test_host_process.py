"""A trainer process and pipes that bring nonsense, or break."""

from tests.trainers.conftest import Changed
from tests.trainers.test_process import Process, heard, long, say, started, trainer, write
from tunery.core.progress import AnyProgress, Died, Finished, Metrics
from tunery.core.trainer_protocol import Begin

__all__ = ["started"]


def test_lines_that_are_no_commands_harm_nobody(started: list[Process], changed: Changed) -> None:
    first, second, stray = (changed(folder=f"runs/{name}/1", threads=1) for name in "abc")
    process = trainer(started, first)
    write(
        process, b'\n{"kind": "begin"}\nbegin\n\xff\xfe\n{"kind": "dance", "folder": "runs/a/1"}\n'
    )
    say(process, Begin(request=changed(folder=stray.folder, quantization="nf4")))
    say(process, Begin(request=second))
    last: dict[str, AnyProgress] = {}
    for folder, value in heard(process):
        last[folder] = value
        if all(isinstance(last.get(each.folder), Finished) for each in (first, second)):
            break
    assert isinstance(last[stray.folder], Died)
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(timeout=10) == 0


def test_it_ends_when_nobody_can_hear_it(started: list[Process], changed: Changed) -> None:
    process = trainer(started, long(changed))
    next(value for _, value in heard(process) if isinstance(value, Metrics))
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(timeout=30) != 0
