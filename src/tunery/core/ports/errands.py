"""What is to be done beside jobs: images to be drawn, webhooks to be sent."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from tunery.core.errands import Errand, ErrandKind
from tunery.core.image_generations import ImageGeneration


class ErrandStore(Protocol):
    """What is to be done, and the images that some of it makes.

    Errands are made here and, where a job with a webhook ends, by `JobStore` and `RunStore`: in
    the transaction that ends it.
    """

    def add_image_generation(self, generation: ImageGeneration) -> None:
        """Keep a new generation, with the errand to draw it.

        One whose id is there already stays as it is.
        """

    def image_generation(self, project_id: str, generation_id: str) -> ImageGeneration:
        """One generation; NotFound where the project has none."""

    def image_generation_of_link(self, generation_id: str) -> ImageGeneration:
        """One generation of any project: for who holds a signed link. NotFound where unknown."""

    def n_pending_images(self, project_id: str) -> int:
        """How many images of a project are yet to be drawn."""

    def image_generations_before(self, created: datetime) -> Sequence[ImageGeneration]:
        """Those of all projects that were asked for before that time and are over; at most 100."""

    def forget_image_generation(self, generation: ImageGeneration) -> None:
        """Drop one that is over; its bytes are gone."""

    def take_errand(self, kind: ErrandKind, lease_s: float) -> Errand | None:
        """Lease an errand of that kind that is due; None where none is.

        Of the project with the fewest leased, it is the one that is due for the longest. Its
        `n_attempts` has risen by one: whoever took it before can no longer report on it.
        """

    def renew_errand(self, errand: Errand, lease_s: float) -> None:
        """Hold it for `lease_s` more, by the database's clock; LeaseLost where it is gone."""

    def record_drawing(self, errand: Errand, generation: ImageGeneration) -> None:
        """Replace the generation; LeaseLost as `renew_errand`.

        Where it is over now, the errand is done, and its webhook, if it has one, is to be told.
        """

    def put_off_errand(self, errand: Errand, delay_s: float) -> None:
        """Let go of it until then; LeaseLost as `renew_errand`."""

    def finish_errand(self, errand: Errand) -> None:
        """Forget it: it is done, or given up. LeaseLost as `renew_errand`."""
