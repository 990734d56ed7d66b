"""Trying a model: text from a base, a tuned model or a checkpoint, by its name."""

import msgspec

from tunery.core.access import Caller
from tunery.core.closable import Closable
from tunery.core.errors import InvalidValue
from tunery.core.generation import GenerationRequest, Piece
from tunery.core.ports import Blobs, Generator
from tunery.service.models import Models


class Generation:
    """The use case of asking a model for text."""

    def __init__(self, models: Models, blobs: Blobs, generator: Generator) -> None:
        """`models` says what a name means, `blobs` where its adapter lies."""
        self._models = models
        self._blobs = blobs
        self._generator = generator

    def generate(self, caller: Caller, model: str, request: GenerationRequest) -> Closable[Piece]:
        """Text of the model that `model` names, as it comes; closing it stops the work.

        `request` says what to generate; where the model lies is put in here.

        Raises:
            NotFound: the caller's project has no such model; raised before the first piece.
            InvalidValue: it is a model of images.
        """
        base, adapter = self._models.resolve(caller, model)
        if base.modality != "text":
            raise InvalidValue(
                f"{model} draws images and cannot be asked for text; POST /v1/flux-pro-finetuned "
                "draws with a finetune of it.",
                param="model",
                code="model_not_supported",
            )
        folder = None if adapter is None else str(self._blobs.path(adapter))
        located = msgspec.structs.replace(
            request, location=base.location, quantization=base.quantization, adapter=folder
        )
        return self._pieces(located)

    def _pieces(self, request: GenerationRequest) -> Closable[Piece]:
        yield from self._generator.generate(request)
