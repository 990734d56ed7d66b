"""What a trainer is told of a job."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.worker.scripts import new_job
from tunery.bases.catalog import FolderCatalog
from tunery.blobs.folder import FolderBlobs
from tunery.core.hyperparameters import Precision, ResolvedHyperparameters
from tunery.core.method import Supervised
from tunery.core.ports import Lease, Run
from tunery.engines.requests import Requests


def requests(folder: Path, precision: Precision | None) -> Requests:
    return Requests(
        blobs=FolderBlobs(folder),
        catalog=FolderCatalog(folders={}, aliases={}, cache=folder / "no-cache"),
        checkpoint_seconds=300,
        threads=None,
        caption_model=None,
        precision=precision,
    )


@pytest.mark.parametrize(
    ("began", "setting", "told"),
    [
        ("bf16", "fp32", "bf16"),
        ("fp32", None, "fp32"),
        # Jobs from before it was kept with them go on as they did then.
        (None, "bf16", "bf16"),
        (None, None, None),
    ],
)
def test_a_job_goes_on_in_what_it_began_in(
    tmp_path: Path, began: Precision | None, setting: Precision | None, told: Precision | None
) -> None:
    resolved = ResolvedHyperparameters(
        n_epochs=1, batch_size=8, learning_rate_multiplier=1, learning_rate=1e-4, precision=began
    )
    job = replace(new_job(), resolved=resolved)
    run = Run(job=job, lease=Lease(job_id=job.id, owner="a", token=2))
    assert requests(tmp_path, setting).run(run).precision == told


@pytest.mark.parametrize("setting", ["bf16", None])
def test_for_a_new_job_the_setting_holds_or_it_is_measured(
    tmp_path: Path, setting: Precision | None
) -> None:
    asked = requests(tmp_path, setting).preflight(new_job(), Supervised(), estimate=False)
    assert asked.precision == setting
    assert asked.measurements == str(tmp_path / "measurements")
