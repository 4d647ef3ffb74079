"""Templates become HTML: whatever a document says is text in it, never markup."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from semsearch.version import __version__
from semsearch.web.page import assets, excerpts, facets, troubles, wording


@cache
def environment() -> Environment:
    """Every value is escaped, and one that is missing is an error."""
    made = Environment(
        loader=PackageLoader("semsearch.web.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"comma": comma, "moment": moment, "percent": percent}
    made.filters |= {"excerpt": excerpts.excerpt, "shown": wording.shown, "size": wording.size}
    made.globals |= {"asset": assets.url, "version": __version__, "FIRST": facets.FIRST}
    made.globals |= {"title_of": wording.title, "TITLES": troubles.TITLES, "ADVICE": troubles.ADVICE}
    made.globals |= {"why": wording.why}
    return made


def html(template: str, **values: Any) -> str:
    """A template with these values."""
    return environment().get_template(template).render(values)


def safe(content: str) -> Markup:
    """HTML of a template, to stand in another as it is."""
    return Markup(content)  # noqa: S704 - never anything but what `html` has made


def answer(content: str, status: int = 200) -> HTMLResponse:
    """The same as an answer; the outermost layer adds the headers that keep a page safe."""
    return HTMLResponse(content, status)


def comma(number: float | None) -> str:
    """1234 is 1,234; a dash stands for what is not told."""
    return wording.NOT_TOLD if number is None else f"{number:,}"


def percent(share: float) -> str:
    """
    >>> percent(1), percent(0.5), percent(0.9999)
    ('100 %', '50 %', '99.9 %')
    """
    return f"{int(share * 1000) / 10:g} %"


def moment(when: datetime) -> str:
    """To the minute, in UTC."""
    return f"{when:%Y-%m-%d %H:%M}"


def pairs(request: Request) -> list[tuple[str, str]]:
    """The parameters of a request, in their order."""
    return list(request.query_params.multi_items())
