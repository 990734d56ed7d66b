"""Tuned models, and the checkpoints that can be called."""

from collections.abc import Sequence

from tunery.core.errors import NotFound
from tunery.core.events import Checkpoint
from tunery.core.models import FineTunedModel, checkpoint_name
from tunery.store.sql import changes, rows
from tunery.store.sql.database import Part, Transaction
from tunery.store.statements import jobs as statements


class SqlModels(Part):
    """The models of the `JobStore` port."""

    def checkpoint(self, project_id: str, model: str, step: int) -> Checkpoint:
        """The checkpoint that `<model>:ckpt-step-<step>` names; NotFound where there is none."""
        name = checkpoint_name(model, step)
        row = self._database.one(statements.CHECKPOINT, {"project_id": project_id, "model": name})
        if row is None:
            raise NotFound("checkpoint", name)
        return rows.checkpoint(row)

    def models(self, project_id: str) -> Sequence[FineTunedModel]:
        """The project's tuned models, newest first."""
        found = self._database.all(statements.MODELS, {"project_id": project_id})
        return [rows.model(row) for row in found]

    def model(self, project_id: str, name: str) -> FineTunedModel:
        """One tuned model; NotFound where the project has none."""
        row = self._database.one(statements.MODEL, {"project_id": project_id, "name": name})
        if row is None:
            raise NotFound("model", name)
        return rows.model(row)

    def model_of(self, project_id: str, job_id: str) -> FineTunedModel:
        """The tuned model that a job made, also once the job is deleted; NotFound as `model`."""
        which = {"project_id": project_id, "job_id": job_id}
        row = self._database.one(statements.MODEL_OF_JOB, which)
        if row is None:
            raise NotFound("model", job_id)
        return rows.model(row)

    def delete_model(self, project_id: str, name: str) -> FineTunedModel:
        """Make a tuned model and its checkpoints unknown; NotFound where the project has none."""

        def work(tx: Transaction) -> FineTunedModel:
            row = tx.one(statements.LOCK_MODEL, {"project_id": project_id, "name": name})
            if row is None:
                raise NotFound("model", name)
            model = rows.model(row)
            which = {"project_id": project_id, "job_id": model.job_id}
            tx.run(statements.DELETE_MODEL, which)
            listed = rows.checkpoints(tx.all(statements.KEPT, which))
            changes.retire(tx, listed, self._clock.now())
            return model

        return self._database.write(work)
