"""A trainer process for tests: each attempt does what its training file's name says, word by word.

Where there is a `|`, the first attempt at a job does what stands before it, and others the rest.
`save` reports a checkpoint, `finish` and `fail` end the attempt, `die` kills the process, `babble`
breaks the protocol, and `wait` does nothing until the attempt is paused or dropped.
"""

import os
import signal
import sys

from tunery.core.progress import (
    AnyProgress,
    CheckpointSaved,
    Failed,
    Finished,
    Metrics,
    Note,
    Paused,
    RunRequest,
)
from tunery.core.trainer_protocol import Begin, Leave, Pause, Said, command, to_line


def say(folder: str, progress: AnyProgress) -> None:
    sys.stdout.buffer.write(to_line(Said(folder=folder, progress=progress)))
    sys.stdout.buffer.flush()


def act(request: RunRequest) -> None:
    say(request.folder, Note(message=f"{request.job_id} begins in {os.getpid()}"))
    first, _, others = request.training_file.partition("|")
    for word in (first if request.folder.endswith("/1") else others or first).split():
        match word:
            case "save":
                metrics = Metrics(step=1, total_steps=2, train_loss=1.0, learning_rate=1.0)
                say(request.folder, CheckpointSaved(step=1, folder="step-1", metrics=metrics))
            case "finish":
                say(request.folder, Finished(adapter=request.folder))
            case "fail":
                say(request.folder, Failed(code="not_finite", message="It went out of bounds."))
            case "die":
                sys.stderr.write(f"{request.job_id} was the last\n")
                sys.stderr.flush()
                os.kill(os.getpid(), signal.SIGKILL)
            case "babble":
                sys.stdout.buffer.write(b"what is this?\n")
                sys.stdout.buffer.flush()


present = set()
for line in sys.stdin.buffer:
    match command(line):
        case Begin(request=request):
            present.add(request.folder)
            act(request)
        case Pause(folder=folder):
            say(folder, Paused())
        case Leave(folder=folder):
            present.remove(folder)
            # Whoever is left may tell that it was heard.
            for other in present:
                say(other, Note(message=f"{folder} has left"))
