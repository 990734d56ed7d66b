"""Errands, and the images that some of them make."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from tunery.core.errands import Errand, ErrandKind
from tunery.core.errors import NotFound
from tunery.core.image_generations import ImageGeneration
from tunery.store import errands as rules
from tunery.store.errands import IMAGE_GENERATION
from tunery.store.sql import changes, rows
from tunery.store.sql.database import Parameters, Part, Row, Transaction
from tunery.store.statements import errands as statements
from tunery.store.statements import images, upkeep
from tunery.store.statements.query import Query
from tunery.store.times import seconds_in_us, to_us


class SqlErrands(Part):
    """The `ErrandStore` port."""

    def add_image_generation(self, generation: ImageGeneration) -> None:
        """Keep a new generation, with the errand to draw it; one that is there already stays."""
        values = {
            "id": generation.id,
            "project_id": generation.project_id,
            "job_id": generation.job_id,
            "created_at_us": to_us(generation.created_at),
            **_changing(generation),
        }

        def work(tx: Transaction) -> None:
            if tx.run(images.NEW_IMAGE, values):
                changes.add_errands(tx, [rules.to_draw(generation)])

        self._database.write(work)

    def image_generation(self, project_id: str, generation_id: str) -> ImageGeneration:
        """One generation; NotFound where the project has none."""
        which = {"project_id": project_id, "id": generation_id}
        return _found(self._database.one(images.IMAGE, which), generation_id)

    def image_generation_of_link(self, generation_id: str) -> ImageGeneration:
        """One generation of any project: for who holds a signed link. NotFound where unknown."""
        row = self._database.one(images.IMAGE_OF_LINK, {"id": generation_id})
        return _found(row, generation_id)

    def n_pending_images(self, project_id: str) -> int:
        """How many images of a project are yet to be drawn."""
        row = self._database.one(images.COUNT_PENDING, {"project_id": project_id})
        return 0 if row is None else int(row[0])

    def image_generations_before(self, created: datetime) -> Sequence[ImageGeneration]:
        """Those of all projects that were asked for before that time and are over; at most 100."""
        which = {"before_us": to_us(created), "count": rules.MOST_FORGOTTEN}
        found = self._database.all(upkeep.IMAGES_BEFORE, which)
        return [IMAGE_GENERATION.decoded(row[0]) for row in found]

    def forget_image_generation(self, generation: ImageGeneration) -> None:
        """Drop one that is over; its bytes are gone."""
        self._database.write(lambda tx: tx.run(upkeep.FORGET_IMAGE, {"id": generation.id}))

    def take_errand(self, kind: ErrandKind, lease_s: float) -> Errand | None:
        """Lease an errand of that kind that is due; None where none is."""

        def work(tx: Transaction) -> Errand | None:
            now_us = tx.now_us()
            row = tx.one(statements.NEXT_ERRAND, {"kind": kind, "now_us": now_us})
            if row is None:
                return None
            found = rows.errand(row)
            errand = replace(found, n_attempts=found.n_attempts + 1)
            lease = {"token": errand.n_attempts, "until_us": now_us + seconds_in_us(lease_s)}
            tx.run(statements.LEASE_ERRAND, {"errand_id": errand.id, **lease})
            return errand

        return self._database.write(work)

    def renew_errand(self, errand: Errand, lease_s: float) -> None:
        """Hold it for `lease_s` more, by the database's clock; LeaseLost where it is gone."""
        self._write_held(statements.RENEW_ERRAND, errand, until_us=lease_s)

    def record_drawing(self, errand: Errand, generation: ImageGeneration) -> None:
        """Replace the generation; LeaseLost as `renew_errand`.

        Where it is over now, the errand is done, and its webhook, if it has one, is to be told.
        """
        rules.check_subject(errand, generation)
        which = {"of_project": errand.project_id, "generation_id": generation.id}
        values = which | _changing(generation)

        def work(tx: Transaction) -> None:
            if tx.one(statements.LOCK_ERRAND, _the(errand)) is None:
                raise rules.lease_lost(errand)
            tx.run(images.REPLACE_IMAGE, values)
            if rules.is_over(generation):
                tx.run(statements.FINISH_ERRAND, _the(errand))
                told = rules.to_tell_of_image(generation, self._clock.now())
                changes.add_errands(tx, told)

        self._database.write(work)

    def put_off_errand(self, errand: Errand, delay_s: float) -> None:
        """Let go of it until then; LeaseLost as `renew_errand`."""
        self._write_held(statements.PUT_OFF_ERRAND, errand, due_at_us=delay_s)

    def finish_errand(self, errand: Errand) -> None:
        """Forget it: it is done, or given up. LeaseLost as `renew_errand`."""
        self._write_held(statements.FINISH_ERRAND, errand)

    def _write_held(self, query: Query, errand: Errand, **in_s: float) -> None:
        """Write what `query` says of an errand that is held; times are so far from now."""

        def work(tx: Transaction) -> int:
            now_us = tx.now_us()
            times = {name: now_us + seconds_in_us(far) for name, far in in_s.items()}
            return tx.run(query, {**_the(errand), **times})

        if not self._database.write(work):
            raise rules.lease_lost(errand)


def _the(errand: Errand) -> Parameters:
    return {"errand_id": errand.id, "held_token": errand.n_attempts}


def _changing(generation: ImageGeneration) -> dict[str, object]:
    """The columns that are written again."""
    return {
        "status": generation.status.value,
        "value": IMAGE_GENERATION.encoded(generation),
    }


def _found(row: Row | None, generation_id: str) -> ImageGeneration:
    if row is None:
        raise NotFound(IMAGE_GENERATION.name, generation_id)
    return IMAGE_GENERATION.decoded(row[0])
