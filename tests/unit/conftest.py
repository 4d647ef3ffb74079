"""Examples of hypothesis take as long as they take: on a busy machine any of them may stand still for a while."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
