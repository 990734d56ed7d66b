"""Deployments: ids under which models answer, for the clients that ask a deployment.

Every tuned model has one of its own, which is not stored: it is made from the model, and is there
as long as that is. More can be made, of base models too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from tunery.core.access import Caller
from tunery.core.errors import InvalidValue, NotFound
from tunery.core.ids import new_id
from tunery.core.models import Deployment, split_checkpoint
from tunery.core.ports import Clock, Shelf
from tunery.service.models import ListedModel, Models

LONGEST_NAME = 255
_PREFIX = "dpl_"
_JOB_PREFIX = "ftjob-"


class Deployments:
    """The use cases of deployments. Every one names the caller's project."""

    def __init__(self, models: Models, shelf: Shelf[Deployment], clock: Clock) -> None:
        """`models` says which models there are; `shelf` keeps what was asked for."""
        self._models = models
        self._shelf = shelf
        self._clock = clock

    def create(
        self, caller: Caller, model: str, *, name: str, echo: Mapping[str, object] | None = None
    ) -> Deployment:
        """Another deployment of a base or tuned model.

        Raises:
            InvalidValue: the name cannot be, or the model is a checkpoint.
            NotFound: the project has no such model.
        """
        if not 1 <= len(name) <= LONGEST_NAME or not name.isprintable():
            raise InvalidValue(
                f"name must have 1 to {LONGEST_NAME} printable characters", param="name"
            )
        tuned, step = split_checkpoint(model)
        if step is not None:
            raise InvalidValue(
                f"{model} is a checkpoint, which has no deployments; deploy {tuned}, or ask the "
                "checkpoint by its name",
                param="model",
            )
        deployment = Deployment(
            id=new_id(_PREFIX),
            project_id=caller.project_id,
            model=self._known(caller, model).name,
            name=name,
            created_at=self._clock.now(),
            created_by=caller.user_id,
            created_by_type=caller.identity_type,
            echo=echo or {},
        )
        self._shelf.add([deployment])
        return deployment

    def get(self, caller: Caller, deployment_id: str, *, model: str | None = None) -> Deployment:
        """One deployment, of `model` where that is named.

        Raises:
            NotFound: the project has no such deployment, or its model is gone.
        """
        found = self._own(caller, deployment_id) or self._asked_for(caller, deployment_id)
        of_it = found is not None and (
            model is None or found.model == self._models.resolved_name(model)
        )
        if found is None or not of_it:
            raise NotFound("deployment", deployment_id)
        return found

    def list(self, caller: Caller, *, model: str | None = None) -> Sequence[Deployment]:
        """The project's deployments: those of tuned models themselves, then those asked for.

        Raises:
            NotFound: `model` is named, and the project has none of that name.
        """
        models = self._models.list(caller) if model is None else [self._known(caller, model)]
        names = {each.name for each in models}
        own = [_own(caller, each) for each in models]
        asked_for = self._shelf.list(
            caller.project_id, parent=None if model is None else models[0].name
        )
        return [
            *(each for each in own if each is not None),
            *(each for each in asked_for if each.model in names),
        ]

    def _known(self, caller: Caller, model: str) -> ListedModel:
        """The model of that name, under its own and not an alias.

        Raises:
            NotFound: there is none.
        """
        found = self._models.get(caller, model)
        return replace(found, name=self._models.resolved_name(model))

    def _own(self, caller: Caller, deployment_id: str) -> Deployment | None:
        """The deployment that a tuned model has by itself."""
        if not deployment_id.startswith(_PREFIX):
            return None
        job_id = _JOB_PREFIX + deployment_id.removeprefix(_PREFIX)
        try:
            return _own(caller, self._models.made_by(caller, job_id))
        except NotFound:
            return None

    def _asked_for(self, caller: Caller, deployment_id: str) -> Deployment | None:
        """One that was made, if its model is still there."""
        try:
            found = self._shelf.get(caller.project_id, deployment_id)
            self._models.get(caller, found.model)
        except NotFound:
            return None
        return found


def _own(caller: Caller, model: ListedModel) -> Deployment | None:
    if model.job_id is None or split_checkpoint(model.name)[1] is not None:
        return None
    return Deployment(
        id=_PREFIX + model.job_id.removeprefix(_JOB_PREFIX),
        project_id=caller.project_id,
        model=model.name,
        name=model.name,
        created_at=model.created_at,
        created_by=model.created_by or "",
        created_by_type=model.created_by_type,
    )
