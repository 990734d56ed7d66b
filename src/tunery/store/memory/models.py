"""Tuned models, and the checkpoints that can be called."""

from collections.abc import Sequence

from tunery.core.errors import NotFound
from tunery.core.events import Checkpoint
from tunery.core.models import FineTunedModel, checkpoint_name
from tunery.store.memory import changes
from tunery.store.memory.state import Part


class MemoryModels(Part):
    """The models of the `JobStore` port."""

    def checkpoint(self, project_id: str, model: str, step: int) -> Checkpoint:
        """The checkpoint that `<model>:ckpt-step-<step>` names; NotFound where there is none."""
        name = checkpoint_name(model, step)
        with self._state.lock:
            for each in reversed(self._state.checkpoints.values()):
                ours = each.project_id == project_id and each.id not in self._state.retired
                if ours and each.model == name:
                    return each
        raise NotFound("checkpoint", name)

    def models(self, project_id: str) -> Sequence[FineTunedModel]:
        """The project's tuned models, newest first."""
        with self._state.lock:
            ours = [each for each in self._state.models if each.project_id == project_id]
        return ours[::-1]

    def model(self, project_id: str, name: str) -> FineTunedModel:
        """One tuned model; NotFound where the project has none."""
        for model in self.models(project_id):
            if model.name == name:
                return model
        raise NotFound("model", name)

    def model_of(self, project_id: str, job_id: str) -> FineTunedModel:
        """The tuned model that a job made, also once the job is deleted; NotFound as `model`."""
        for model in self.models(project_id):
            if model.job_id == job_id:
                return model
        raise NotFound("model", job_id)

    def delete_model(self, project_id: str, name: str) -> FineTunedModel:
        """Make a tuned model and its checkpoints unknown; NotFound where the project has none."""
        with self._state.lock:
            model = self.model(project_id, name)
            self._state.models.remove(model)
            listed = changes.kept(self._state, model.job_id)
            self._state.retired |= {each.id for each in listed}
            return model
