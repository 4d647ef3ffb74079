"""What all bodies have in common."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, TypeAlias

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict


class Body(BaseModel):
    """Of a request."""

    model_config = ConfigDict(
        extra="forbid", strict=True, allow_inf_nan=False, hide_input_in_errors=True, validate_default=False
    )


class Answer(BaseModel):
    """Of a response."""

    model_config = ConfigDict(extra="forbid", from_attributes=True)


def _moment(value: Any) -> Any:
    """A number is no moment: whether it counts seconds or milliseconds, nobody can say."""
    if isinstance(value, str):
        return datetime.fromisoformat(value)
    if value is None or isinstance(value, datetime):
        return value
    raise ValueError("a moment is written as 2024-05-01T12:00:00Z")


Moment: TypeAlias = Annotated[AwareDatetime, BeforeValidator(_moment)]


def example(**values: Any) -> dict[str, Any]:
    """The one example in a model's description."""
    return {"examples": [values]}
