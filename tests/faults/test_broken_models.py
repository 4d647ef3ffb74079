"""A model that gives no usable embedding of anything: no document is at fault, and none may be given up.

Beside it a model that refuses some texts, which are (test_provider_answers.py).
"""

from __future__ import annotations

from typing import Any

import pytest

from semsearch import Document
from semsearch.collection import Collection
from semsearch.errors import IngestError, ModelUnavailable
from tests.faults import stored
from tests.provider import Provider

ANSWERS: dict[str, dict[str, Any]] = {
    "NaN": {"fault": "embedding", "embedding": "[NaN, 1, 1, 1, 1, 1, 1, 1]"},
    "other dimensions": {"fault": "embedding", "embedding": "[1, 1]"},
    "refusal": {
        "fault": "status",
        "status": 400,
        "body": {"error": {"message": "Invalid request", "type": "invalid_request_error", "code": None}},
    },
}


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("count", [1, 50])
def test_every_answer_is_unusable(notes: Collection, provider: Provider, answer: str, count: int) -> None:
    texts = stored.texts(count)
    provider.rules(always=ANSWERS[answer])
    with pytest.raises(ModelUnavailable, match="no usable embedding of any text"):
        notes.put(stored.documents(texts))
    assert len(provider.calls) <= 8  # 50 are halved down to one, and the known text
    stored.check_waiting(notes, texts)
    provider.reset()
    notes.work()
    stored.check(notes, texts)


def test_a_document_alone_is_given_up_by_a_model_that_takes_the_known_text(
    notes: Collection, provider: Provider
) -> None:
    provider.rules(poison="poison")
    with pytest.raises(IngestError, match="does not take the text"):
        notes.put([Document("a", "poison")])
    assert len(provider.calls) == 2
