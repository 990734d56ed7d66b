"""What a job on pictures would see, without a child: this server wrote the file itself."""

import zipfile
from pathlib import Path

from tunery.core.preflight import Preflight
from tunery.core.problems import Problem


def survey(archive: Path) -> Preflight:
    """The report on a file that is as `core.picture_sets` says."""
    problems: tuple[Problem, ...] = ()
    n_pictures = 0
    try:
        with zipfile.ZipFile(archive) as opened:
            n_pictures = sum(name.endswith(".png") for name in opened.namelist())
    except (OSError, zipfile.BadZipFile) as damage:
        message = f"the pictures cannot be read: {damage}"
        problems = (Problem(line=None, field=None, message=message),)
    return Preflight(
        format="pictures",
        n_rows=n_pictures,
        n_examples=n_pictures,
        n_overlong=0,
        context=0,
        tokens=None,
        problems=problems,
        n_errors=len(problems),
        n_warnings=0,
    )
