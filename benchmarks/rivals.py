"""Rivals that are programs of their own: started, given what they need, and waited for."""

import os
import subprocess
import sys

import msgspec

from benchmarks.settings import SftTask, Steps


def environment(threads: int) -> dict[str, str]:
    """Of a rival with so many threads, which wait as they do by default."""
    own = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    return {**own, "OMP_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "true"}


def trained(task: SftTask) -> Steps:
    """What TRL's SFTTrainer did.

    Raises:
        RuntimeError: it failed.
    """
    return msgspec.json.decode(
        said("benchmarks.rival_sft", msgspec.json.encode(task).decode(), threads=task.threads),
        type=Steps,
    )


def said(module: str, *arguments: str, threads: int) -> bytes:
    """The last line that `python -m MODULE ARGUMENTS` prints.

    Raises:
        RuntimeError: it failed.
    """
    ended = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        capture_output=True,
        env=environment(threads),
        check=False,
    )
    lines = ended.stdout.splitlines()
    if ended.returncode != 0 or not lines:
        raise RuntimeError(ended.stderr.decode(errors="replace")[-2000:] or "it said nothing")
    return lines[-1]
