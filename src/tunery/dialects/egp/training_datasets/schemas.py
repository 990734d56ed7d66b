"""Scale's dataset objects."""

from typing import Literal

import msgspec

from tunery.dialects.egp.answers import Entity

SchemaType = Literal["GENERATION"]
"""The only one that is trained on; RERANKING_QUESTIONS exists and is refused."""


class DatasetObject(Entity, frozen=True, kw_only=True):
    """A training dataset."""

    name: str
    schema_type: SchemaType = "GENERATION"
    data_source: Literal["LocalFile"] = "LocalFile"


class ItemObject(msgspec.Struct, frozen=True, kw_only=True):
    """A row of a dataset."""

    input: str
    output: str
    schema_type: SchemaType = "GENERATION"
