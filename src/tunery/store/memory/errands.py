"""Errands, and the images that some of them make."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from tunery.core.errands import Errand, ErrandKind
from tunery.core.errors import NotFound
from tunery.core.image_generations import ImageGeneration
from tunery.store import errands as rules
from tunery.store.errands import IMAGE_GENERATION, is_over
from tunery.store.memory import changes
from tunery.store.memory.state import KeptErrand, Part
from tunery.store.times import to_us


class MemoryErrands(Part):
    """The `ErrandStore` port."""

    def add_image_generation(self, generation: ImageGeneration) -> None:
        """Keep a new generation, with the errand to draw it; one that is there already stays."""
        written = _written(generation)
        with self._state.lock:
            if generation.id in self._state.image_generations:
                return
            self._state.image_generations[generation.id] = written
            changes.add_errands(self._state, [rules.to_draw(generation)], self._clock.now())

    def image_generation(self, project_id: str, generation_id: str) -> ImageGeneration:
        """One generation; NotFound where the project has none."""
        generation = self.image_generation_of_link(generation_id)
        if generation.project_id != project_id:
            raise NotFound(IMAGE_GENERATION.name, generation_id)
        return generation

    def image_generation_of_link(self, generation_id: str) -> ImageGeneration:
        """One generation of any project: for who holds a signed link. NotFound where unknown."""
        generation = self._state.image_generations.get(generation_id)
        if generation is None:
            raise NotFound(IMAGE_GENERATION.name, generation_id)
        return generation

    def n_pending_images(self, project_id: str) -> int:
        """How many images of a project are yet to be drawn."""
        with self._state.lock:
            every = self._state.image_generations.values()
            return sum(each.project_id == project_id and not is_over(each) for each in every)

    def image_generations_before(self, created: datetime) -> Sequence[ImageGeneration]:
        """Those of all projects that were asked for before that time and are over; at most 100."""
        with self._state.lock:
            every = self._state.image_generations.values()
            old = [each for each in every if is_over(each) and each.created_at < created]
        return sorted(old, key=lambda each: each.created_at)[: rules.MOST_FORGOTTEN]

    def forget_image_generation(self, generation: ImageGeneration) -> None:
        """Drop one that is over; its bytes are gone."""
        with self._state.lock:
            there = self._state.image_generations.get(generation.id)
            if there is not None and is_over(there):
                del self._state.image_generations[generation.id]

    def take_errand(self, kind: ErrandKind, lease_s: float) -> Errand | None:
        """Lease an errand of that kind that is due; None where none is."""
        with self._state.lock:
            kept = self._next_errand(kind)
            if kept is None:
                return None
            errand = replace(kept.errand, n_attempts=kept.errand.n_attempts + 1)
            self._keep_errand(
                replace(kept, errand=errand, lease_until_us=self._us_from_now(lease_s))
            )
            return errand

    def renew_errand(self, errand: Errand, lease_s: float) -> None:
        """Hold it for `lease_s` more, by the database's clock; LeaseLost where it is gone."""
        with self._state.lock:
            kept = self._held_errand(errand)
            self._keep_errand(replace(kept, lease_until_us=self._us_from_now(lease_s)))

    def record_drawing(self, errand: Errand, generation: ImageGeneration) -> None:
        """Replace the generation; LeaseLost as `renew_errand`.

        Where it is over now, the errand is done, and its webhook, if it has one, is to be told.
        """
        rules.check_subject(errand, generation)
        written = _written(generation)
        with self._state.lock:
            self._held_errand(errand)
            self._state.image_generations[generation.id] = written
            if is_over(generation):
                del self._state.errands[errand.id]
                now = self._clock.now()
                changes.add_errands(self._state, rules.to_tell_of_image(generation, now), now)

    def put_off_errand(self, errand: Errand, delay_s: float) -> None:
        """Let go of it until then; LeaseLost as `renew_errand`."""
        with self._state.lock:
            kept = self._held_errand(errand)
            due_at_us = self._us_from_now(delay_s)
            self._keep_errand(replace(kept, due_at_us=due_at_us, lease_until_us=None))

    def finish_errand(self, errand: Errand) -> None:
        """Forget it: it is done, or given up. LeaseLost as `renew_errand`."""
        with self._state.lock:
            self._held_errand(errand)
            del self._state.errands[errand.id]

    def _next_errand(self, kind: ErrandKind) -> KeptErrand | None:
        """The errand to lease: of the project with the fewest leased, then due the longest."""
        now_us = to_us(self._clock.now())
        leased: Counter[str] = Counter()
        due = []
        for kept in self._state.errands.values():
            if kept.errand.kind != kind:
                continue
            if (kept.lease_until_us or 0) > now_us:
                leased[kept.errand.project_id] += 1
            elif kept.due_at_us <= now_us:
                due.append(kept)
        # `min` gives the first of several, and they are in the order they came.
        return min(
            due, key=lambda each: (leased[each.errand.project_id], each.due_at_us), default=None
        )

    def _held_errand(self, errand: Errand) -> KeptErrand:
        kept = self._state.errands.get(errand.id)
        if kept is None or kept.lease_until_us is None:
            raise rules.lease_lost(errand)
        if kept.errand.n_attempts != errand.n_attempts:
            raise rules.lease_lost(errand)
        return kept

    def _keep_errand(self, kept: KeptErrand) -> None:
        self._state.errands[kept.errand.id] = kept

    def _us_from_now(self, seconds: float) -> int:
        return to_us(self._clock.now() + timedelta(seconds=seconds))


def _written(generation: ImageGeneration) -> ImageGeneration:
    """`generation` as it comes back from any store."""
    return IMAGE_GENERATION.decoded(IMAGE_GENERATION.encoded(generation))
