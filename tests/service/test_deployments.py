"""Deployments are there as long as their models are."""

from pathlib import Path

import pytest

from tests.dialects.world import World, make_world
from tests.store.values import OURS, THEIRS
from tunery.core.errors import InvalidValue, NotFound
from tunery.core.models import Deployment


@pytest.fixture
def world(tmp_path: Path) -> World:
    return make_world(tmp_path)


def test_a_deployment_whose_base_model_has_left_is_unknown(world: World) -> None:
    deployments = world.services.deployments
    gone = Deployment(
        id="dpl_1",
        project_id="ours",
        model="no/longer",
        name="d",
        created_at=world.clock.now(),
        created_by="user-a",
    )
    world.store.deployments.add([gone])
    assert list(deployments.list(OURS)) == []
    with pytest.raises(NotFound):
        deployments.get(OURS, "dpl_1")


def test_another_projects_deployment_is_unknown(world: World) -> None:
    deployments = world.services.deployments
    made = deployments.create(THEIRS, "tiny-chat", name="d")
    assert deployments.get(THEIRS, made.id) == made
    for deployment_id in (made.id, "dpl_nope", ""):
        with pytest.raises(NotFound, match=f"There is no deployment '{deployment_id}'"):
            deployments.get(OURS, deployment_id)
    assert list(deployments.list(OURS, model="tiny-chat")) == []


@pytest.mark.parametrize("name", ["", "a\nb", "x" * 256])
def test_a_name_is_printable_and_not_too_long(world: World, name: str) -> None:
    with pytest.raises(InvalidValue, match="1 to 255 printable characters") as refused:
        world.services.deployments.create(OURS, "tiny-chat", name=name)
    assert refused.value.param == "name"


def test_what_was_asked_for_has_whoever_asked(world: World) -> None:
    made = world.services.deployments.create(OURS, "gpt-4o-mini", name="d", echo={"egp": {"k": 1}})
    assert (made.model, made.created_by, made.created_by_type) == ("tiny-chat", "user-a", "user")
    assert world.services.deployments.get(OURS, made.id, model="gpt-4o-mini") == made
    assert list(world.services.deployments.list(OURS)) == [made]
