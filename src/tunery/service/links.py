"""Links to images, which open them without a key for some minutes."""

from tunery.core.errors import NotFound
from tunery.core.ports import Clock, Signer

VALID_S = 600
"""As long as BFL's (API reference, "Get Result")."""


class Links:
    """Makes and checks what stands behind the `?` of a link to an image."""

    def __init__(self, signer: Signer, clock: Clock) -> None:
        """What `signer` has signed is good until the time in it."""
        self._signer = signer
        self._clock = clock

    def query(self, generation_id: str) -> dict[str, str]:
        """The parameters of a link to this image that is good from now on for `VALID_S`."""
        expires = str(int(self._clock.now().timestamp()) + VALID_S)
        return {
            "expires": expires,
            "signature": self._signer.sign(_signed(generation_id, expires)),
        }

    def check(self, generation_id: str, expires: str, signature: str) -> None:
        """Let a link pass that was made here, for this image, and is still good.

        Raises:
            NotFound: it is none.
        """
        made_here = self._signer.is_signed(_signed(generation_id, expires), signature)
        # What was signed here is a number.
        if not made_here or int(expires) < self._clock.now().timestamp():
            raise NotFound("image", generation_id)


def _signed(generation_id: str, expires: str) -> str:
    return f"image {generation_id} until {expires}"
