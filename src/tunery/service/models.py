"""Models: what there is to call, and what stands behind a name."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from tunery.core.access import Caller, IdentityType
from tunery.core.errors import InvalidValue, NotFound
from tunery.core.job import FineTuningJob
from tunery.core.models import BaseModel, Deployment, FineTunedModel, split_checkpoint
from tunery.core.ports import Catalog, JobStore, Shelf
from tunery.service.garbage import RunFolders
from tunery.service.routing import Routing

_TUNED = "ft:"


@dataclass(frozen=True, kw_only=True)
class ListedModel:
    """A model under the name by which it is called."""

    name: str
    owned_by: str
    created_at: datetime
    base_model: str
    """The base model's own name, also where this is one."""
    job_id: str | None = None
    """The job that made it; None where it is a base model."""
    created_by: str | None = None
    """None where nobody of the project did, as with base models."""
    created_by_type: IdentityType = IdentityType.USER


class Models:
    """The use cases of models. Base models are everybody's, tuned ones their project's."""

    def __init__(
        self,
        store: JobStore,
        catalog: Catalog,
        folders: RunFolders,
        routing: Routing | None = None,
        deployed: Shelf[Deployment] | None = None,
    ) -> None:
        """`store` knows the tuned models, `catalog` the bases and aliases, `folders` the bytes.

        `routing` knows the accounts that may stand before a name; left out, there are none.
        `deployed` holds what goes with a tuned model.
        """
        self._store = store
        self._catalog = catalog
        self._folders = folders
        self._routing = routing or Routing()
        self._deployed = deployed

    def list(self, caller: Caller) -> Sequence[ListedModel]:
        """Every base model, then the project's tuned models, newest first."""
        bases = [_base(model, model.name) for model in self._catalog.models()]
        tuned = self._store.models(caller.project_id)
        return [*bases, *(_tuned(model, caller) for model in tuned)]

    def made_by(self, caller: Caller, job_id: str) -> ListedModel:
        """The tuned model that a job made, also once the job is deleted; NotFound as `get`."""
        return _tuned(self._store.model_of(caller.project_id, job_id), caller)

    def get(self, caller: Caller, name: str) -> ListedModel:
        """The base, tuned or checkpoint model `name`, or the one that this alias means.

        Raises:
            NotFound: there is none of this name; the message says which there are.
        """
        own_name = self._routing.model(name)
        tuned, step = split_checkpoint(own_name)
        if not own_name.startswith(_TUNED):
            return _base(self._catalog.resolve(own_name), name)
        if step is None:
            found = _tuned(self._store.model(caller.project_id, own_name), caller)
            return replace(found, name=name)
        checkpoint = self._store.checkpoint(caller.project_id, tuned, step)
        maker = self._maker(caller, tuned, checkpoint.job_id)
        return ListedModel(
            name=name,
            owned_by=caller.organization_id,
            created_at=checkpoint.created_at,
            base_model=checkpoint.base_model,
            job_id=checkpoint.job_id,
            created_by=maker.created_by,
            created_by_type=maker.created_by_type,
        )

    def delete(self, caller: Caller, name: str) -> None:
        """Make a tuned model and its checkpoints unknown, and remove their bytes.

        An adapter that an unfinished job starts from stays on disk until that job is over.

        Raises:
            InvalidValue: the name is that of a base model or of a single checkpoint.
            NotFound: there is none of this name.
        """
        name = self._routing.model(name)
        tuned, step = split_checkpoint(name)
        if step is not None:
            raise InvalidValue(
                f"{name} is a checkpoint, which cannot be deleted by itself; delete {tuned}.",
                param="model",
            )
        if not name.startswith(_TUNED):
            base = self._catalog.resolve(name)
            raise InvalidValue(
                f"{base.name} is a base model and cannot be deleted; only tuned models, whose "
                f'names begin with "{_TUNED}", can.',
                param="model",
                code="model_not_deletable",
            )
        deleted = self._store.delete_model(caller.project_id, name)
        self._withdraw(caller, name)
        self._folders.try_to_tidy(deleted.job_id)

    def resolve(self, caller: Caller, name: str) -> tuple[BaseModel, str | None]:
        """The base model behind `name`, and the blob key of the adapter on it, if any.

        Raises:
            NotFound: there is none of this name; the message says which there are.
        """
        name = self._routing.model(name)
        if not name.startswith(_TUNED):
            return self._catalog.resolve(name), None
        tuned, step = split_checkpoint(name)
        if step is None:
            model = self._store.model(caller.project_id, name)
            return self._base_of(model.name, model.base_model), model.adapter
        checkpoint = self._store.checkpoint(caller.project_id, tuned, step)
        return self._base_of(name, checkpoint.base_model), checkpoint.folder

    def resolved_name(self, name: str) -> str:
        """The model's own name, without account or alias; that of a tuned model is not looked up.

        Raises:
            NotFound: there is no such base model; the message says which there are.
        """
        own_name = self._routing.model(name)
        return own_name if own_name.startswith(_TUNED) else self._catalog.resolve(own_name).name

    def _maker(self, caller: Caller, tuned: str, job_id: str) -> FineTunedModel | FineTuningJob:
        """What says who made a checkpoint: its model, which outlives the job, or else the job."""
        try:
            return self._store.model(caller.project_id, tuned)
        except NotFound:
            return self._store.job(caller.project_id, job_id)

    def _withdraw(self, caller: Caller, name: str) -> None:
        """Forget the deployments of a model that is gone; nobody can find them any more."""
        if self._deployed is None:
            return
        for deployment in self._deployed.list(caller.project_id, parent=name):
            self._deployed.delete(caller.project_id, deployment.id)

    def _base_of(self, name: str, base_model: str) -> BaseModel:
        """The base that a tuned model stands on; it may have left the catalog since."""
        try:
            return self._catalog.resolve(base_model)
        except NotFound as gone:
            raise InvalidValue(
                f"{name} was tuned on {base_model}, which is no longer here. {gone.message}",
                param="model",
            ) from gone


def _base(model: BaseModel, name: str) -> ListedModel:
    return ListedModel(
        name=name, owned_by=model.owned_by, created_at=model.created_at, base_model=model.name
    )


def _tuned(model: FineTunedModel, caller: Caller) -> ListedModel:
    return ListedModel(
        name=model.name,
        owned_by=caller.organization_id,
        created_at=model.created_at,
        base_model=model.base_model,
        job_id=model.job_id,
        created_by=model.created_by,
        created_by_type=model.created_by_type,
    )
