"""What requests of all resources hold: ids, texts, pictures, and whom to tell when it is over."""

import base64
import binascii
import re
import string
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, HttpUrl

from tunery.core.errors import InvalidValue
from tunery.dialects.fields import STORABLE

LONGEST_TEXT = 32_768
LONGEST_ID = 512
LONGEST_SECRET = 1024

_DATA_URI = re.compile(r"data:[^,]{0,200};base64,", re.IGNORECASE)
_NO_SPACE = str.maketrans("", "", string.whitespace)


class Body(BaseModel):
    """The base of every request body; fields that nobody knows are ignored, as the API does."""

    model_config = ConfigDict(hide_input_in_errors=True)


class Told(Body):
    """Whom to tell when it is over; nobody, if left out."""

    webhook_url: HttpUrl | None = None
    webhook_secret: Annotated[str, Field(max_length=LONGEST_SECRET), STORABLE] | None = None

    @property
    def url(self) -> str | None:
        """The address of the webhook as text."""
        return None if self.webhook_url is None else str(self.webhook_url)


LongText = Annotated[str, Field(max_length=LONGEST_TEXT), STORABLE]
"""What somebody has to say."""

FinetuneId = Annotated[str, Field(max_length=LONGEST_ID), STORABLE]
"""What is meant to name a finetune."""


def decoded(text: str, *, param: str) -> bytes:
    """The bytes of base64, with or without the beginning of a `data:` URI and with line breaks.

    Raises:
        InvalidValue: it is none; with this `param`.
    """
    if head := _DATA_URI.match(text):
        text = text[head.end() :]
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        pass
    try:
        # Not split into words: of a text with a space behind every second letter, these would
        # take twenty times its length.
        return base64.b64decode(text.translate(_NO_SPACE), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidValue(f"{param} is not base64: {error}", param=param) from error
