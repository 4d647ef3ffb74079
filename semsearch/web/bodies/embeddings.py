"""OpenAI's protocol for embeddings: https://platform.openai.com/docs/api-reference/embeddings."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, field_validator

from semsearch.web.bodies.base import Answer, Body, example

MAX_INPUTS = 2048
MODEL: dict[str, Any] = {
    "id": "sentence-transformers:all-MiniLM-L6-v2",
    "object": "model",
    "created": 0,
    "owned_by": "semsearch",
}


class EmbeddingsBody(Body):
    """As OpenAI's clients send it. `input_type` is ours: some models read queries differently from documents."""

    model_config = ConfigDict(
        json_schema_extra=example(input=["The sky is blue."], model="sentence-transformers:all-MiniLM-L6-v2")
    )

    input: Annotated[
        str | list[str], Field(description=f"A text, or up to {MAX_INPUTS:,} of them; none of them empty.")
    ]
    model: Annotated[str, Field(description="The name of a model that a collection uses, or of the collection.")]
    encoding_format: Annotated[
        Literal["float", "base64"], Field(description="base64: of float32, the lowest byte first.")
    ] = "float"
    dimensions: Annotated[int | None, Field(ge=1, le=16000, description="As a collection with this model has it.")] = (
        None
    )
    user: Annotated[str | None, Field(description="Is not read.")] = None
    input_type: Literal["document", "query"] = "document"

    @field_validator("input", mode="before")
    @classmethod
    def _texts(cls, value: Any) -> Any:
        if isinstance(value, list):
            if not 1 <= len(value) <= MAX_INPUTS:
                raise ValueError(f"a list of 1 to {MAX_INPUTS:,} texts is read, and this one has {len(value):,}")
            if any(isinstance(each, int | list) for each in value):
                raise ValueError("arrays of tokens are not read here: send the texts themselves")
        if any(not each for each in ([value] if isinstance(value, str) else value if isinstance(value, list) else [])):
            raise ValueError("an empty text has no embedding")
        return value

    @property
    def texts(self) -> list[str]:
        return [self.input] if isinstance(self.input, str) else self.input


class EmbeddingAnswer(Answer):
    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class Usage(Answer):
    prompt_tokens: int
    total_tokens: int


class EmbeddingsAnswer(Answer):
    """In the order of the input."""

    model_config = ConfigDict(
        json_schema_extra=example(
            object="list",
            data=[{"object": "embedding", "index": 0, "embedding": [0.1, -0.2]}],
            model="sentence-transformers:all-MiniLM-L6-v2",
            usage={"prompt_tokens": 5, "total_tokens": 5},
        )
    )

    object: Literal["list"]
    data: list[EmbeddingAnswer]
    model: str
    usage: Usage


class Model(Answer):
    """One that a collection uses."""

    model_config = ConfigDict(json_schema_extra=example(**MODEL))

    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class Models(Answer):
    """What `model` may name in /v1/embeddings."""

    model_config = ConfigDict(json_schema_extra=example(object="list", data=[MODEL]))

    object: Literal["list"]
    data: list[Model]
