"""OpenAI's protocol: clients that speak it get the embeddings of the models that the collections use."""

from __future__ import annotations

import base64
from typing import Annotated, Any

from fastapi import APIRouter, Body
from starlette.responses import Response

from semsearch.collection import Collection
from semsearch.errors import InvalidInput, NotFound
from semsearch.records import Embedding
from semsearch.web.access import Reader
from semsearch.web.bodies import embeddings as bodies
from semsearch.web.routes.answers import answer
from semsearch.web.routes.opened import visible
from semsearch.web.routes.parameters import KNOWN
from semsearch.web.state import Shared

router = APIRouter(prefix="/v1", tags=["embeddings"], dependencies=[KNOWN])


@router.post(
    "/embeddings", response_model=bodies.EmbeddingsAnswer, summary="Embed texts", operation_id="create_embeddings"
)
def create_embeddings(asked: Annotated[bodies.EmbeddingsBody, Body()], state: Shared, caller: Reader) -> Response:
    """By a model that a collection uses; nothing is stored. Needs scope `read`.

    Texts that are longer than the model reads are cut. Their tokens count towards the token budget of the collection,
    where it has one. A key with scope `read` may send 1 MB at once, others 16 MB.
    """
    collection = _serving(visible(state, caller), asked.model, asked.dimensions)
    texts = asked.texts
    tokens = collection.count_tokens(texts)
    collection.spend(tokens)
    embed = collection.embed_queries if asked.input_type == "query" else collection.embed_documents
    made = embed(texts, deadline=state.options.admin_deadline)
    data = [{"object": "embedding", "index": at, "embedding": each} for at, each in enumerate(_written(made, asked))]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return answer({"object": "list", "data": data, "model": collection.model, "usage": usage})


@router.get("/models", summary="List the models", operation_id="list_models")
def list_models(state: Shared, caller: Reader) -> bodies.Models:
    """Those of the collections that the key may see. Needs scope `read`."""
    names = {collection.model for collection in visible(state, caller) if collection.model}
    return bodies.Models(object="list", data=[_model(name) for name in sorted(names)])


@router.get("/models/{model:path}", summary="Describe a model", operation_id="get_model")
def get_model(model: str, state: Shared, caller: Reader) -> bodies.Model:
    """Whether a collection uses it. Needs scope `read`."""
    if not any(collection.model == model for collection in visible(state, caller)):
        raise NotFound(f"no collection uses the model {model!r:.200}.")
    return _model(model)


def _model(name: str) -> bodies.Model:
    return bodies.Model(id=name, object="model", created=0, owned_by="semsearch")


def _serving(collections: list[Collection], model: str, dimensions: int | None) -> Collection:
    """The collection whose model is meant, by its name or the model's; the model's own dimensions come first.

    Raises NotFound, InvalidInput for dimensions that no collection has.
    """
    named = [each for each in collections if each.model and model in (each.name, each.model)]
    if not named:
        raise NotFound(f"no collection uses the model {model!r:.200}; /v1/models lists those that do.")
    if dimensions is None:
        return min(named, key=lambda each: each.space.shortened)
    found = next((each for each in named if each.dimensions == dimensions), None)
    if found is None:
        there = ", ".join(str(each) for each in sorted({each.dimensions for each in named}))
        raise InvalidInput(f"dimensions: {model!r:.200} is used here with {there} dimensions, not {dimensions}.")
    return found


def _written(embeddings: Embedding, asked: bodies.EmbeddingsBody) -> list[Any]:
    if asked.encoding_format == "float":
        return list(embeddings.tolist())
    return [base64.b64encode(each.astype("<f4").tobytes()).decode() for each in embeddings]
