"""The result file has the columns of its job's method."""

from dataclasses import replace
from pathlib import Path

from tests.store.values import MovableClock, a_job
from tunery.blobs.folder import FolderBlobs
from tunery.core.method import Method, Preference, Supervised
from tunery.core.progress import Metrics
from tunery.worker.results import write_step_metrics


def written(folder: Path, method: Method, *steps: Metrics) -> list[str]:
    blobs = FolderBlobs(folder)
    file = write_step_metrics(
        replace(a_job(), method=method), steps, blobs=blobs, clock=MovableClock()
    )
    return b"".join(blobs.read(file.blob)).decode().splitlines()


def test_a_supervised_job_has_openais_columns(tmp_path: Path) -> None:
    step = Metrics(
        step=1, total_steps=2, train_loss=0.5, learning_rate=1e-3, train_mean_token_accuracy=0.25
    )
    assert written(tmp_path, Supervised(), step) == [
        "step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy",
        "1,0.5,0.25,,",
    ]


def test_a_job_on_preferences_has_rewards_instead(tmp_path: Path) -> None:
    step = Metrics(
        step=1,
        total_steps=2,
        train_loss=0.5,
        learning_rate=1e-3,
        train_rewards_chosen=1.0,
        train_rewards_rejected=-2.0,
        train_rewards_margins=3.0,
        train_rewards_accuracies=0.75,
        full_valid_loss=0.625,
        full_valid_rewards_chosen=0.5,
        full_valid_rewards_rejected=-0.5,
        full_valid_rewards_margins=1.0,
        full_valid_rewards_accuracies=1.0,
    )
    assert written(tmp_path, Preference(), step) == [
        "step,train_loss,train_rewards_chosen,train_rewards_rejected,train_rewards_margins,"
        "train_rewards_accuracies,valid_loss,valid_rewards_chosen,valid_rewards_rejected,"
        "valid_rewards_margins,valid_rewards_accuracies",
        "1,0.5,1.0,-2.0,3.0,0.75,0.625,0.5,-0.5,1.0,1.0",
    ]
