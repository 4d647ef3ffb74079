"""The page at `/`: search, documents, collections, failures; for people, in a browser.

`/` is the whole page, which works without JavaScript where the server asks for no key; `/page/...` are its parts, for
the script, which sends the key with every request. Its files are under `/page/assets`.
"""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from semsearch.errors import SemsearchError
from semsearch.web import problems
from semsearch.web.access import Anybody, Reader, Visitor
from semsearch.web.page import asking, assets, reading, rendering, troubles, views
from semsearch.web.routes.entity_tags import IfNoneMatch, is_known
from semsearch.web.routes.search import check_explain
from semsearch.web.state import Shared, State

router = APIRouter(include_in_schema=False)


@router.get("/")
def page(request: Request, state: Shared, caller: Visitor) -> Response:
    """The page as a whole; where a key is needed, without anything that is anybody's."""
    if caller is None:
        waiting = rendering.html("waiting.html", base=_base(request, behind_proxy=state.options.behind_proxy))
        return _page(state, "semsearch", waiting, 200, waiting=True)
    title, explain = "semsearch", "explain" in request.query_params
    try:
        asked = asking.read(rendering.pairs(request))
        title = views.title(asked)
        content = views.main(state, caller, asked, explain=explain)
        return _page(state, title, content, 200)
    except Exception as error:
        meant = problems.meaning(error)
        if meant is None:
            raise
        return _page(state, title, _trouble(meant, request), problems.status(meant))


@router.get("/page/main")
def main(request: Request, state: Shared, caller: Reader) -> Response:
    """What stands between the header and the end of the page."""
    asked = asking.read(rendering.pairs(request))
    answer = rendering.answer(views.main(state, caller, asked))
    answer.headers["X-Title"] = asking.quoted(views.title(asked))
    return answer


@router.get("/page/hits")
def hits(request: Request, state: Shared, caller: Reader) -> Response:
    """The hits alone; with `quick` without their best sentences, which take the model longer than the search."""
    asked = asking.read(rendering.pairs(request))
    collection, tenant = reading.opened(state, caller, asked)
    marks = "quick" not in request.query_params
    return rendering.answer(views.hits(state, caller, collection, asked, tenant, marks=marks))


@router.get("/page/facets")
def facets(request: Request, state: Shared, caller: Reader) -> Response:
    """The filters with their counts."""
    asked = asking.read(rendering.pairs(request))
    collection, tenant = reading.opened(state, caller, asked)
    return rendering.answer(views.filters(state, collection, asked, tenant))


@router.get("/page/explain")
def explain(request: Request, state: Shared, caller: Reader) -> Response:
    """The SQL and the plan of a search, which is made once more for it."""
    asked = asking.read(rendering.pairs(request))
    collection, tenant = reading.opened(state, caller, asked)
    check_explain(caller)
    return rendering.answer(views.explanation(state, collection, asked, tenant))


@router.get("/page/parts")
def parts(request: Request, state: Shared, caller: Reader, of: str) -> Response:
    """What the score of one hit is made of."""
    asked = asking.read(rendering.pairs(request))
    collection, tenant = reading.opened(state, caller, asked)
    return rendering.answer(views.parts(state, collection, asked, tenant, of))


@router.get("/page/assets/{version}/{name}")
def asset(version: str, name: str, _: Anybody, if_none_match: IfNoneMatch = None) -> Response:
    """A style sheet, a script, an icon."""
    content, media_type = assets.read(version, name)
    headers = {"ETag": f'"{version}"', "Cache-Control": assets.FOR_EVER}
    if is_known(if_none_match, version):
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers, media_type=media_type)


def _page(state: State, title: str, content: str, status: int, *, waiting: bool = False) -> Response:
    whole = rendering.html(
        "shell.html",
        title=title,
        main=rendering.safe(content),
        waiting=waiting,
        trouble=troubles.BLANK,
        largest_file=state.options.upload_bytes,
    )
    return rendering.answer(whole, status)


def _base(request: Request, *, behind_proxy: bool) -> str:
    """Where the API is; how it was asked for, the proxy in front says last."""
    told = request.headers.getlist("x-forwarded-proto") if behind_proxy else []
    scheme = told[-1].rpartition(",")[2].strip() if told else ""
    return str(request.base_url.replace(scheme=scheme) if scheme in ("http", "https") else request.base_url)


def _trouble(error: SemsearchError, request: Request) -> str:
    again = "/?" + request.url.query if request.url.query else "/"
    return rendering.html("trouble.html", trouble=troubles.of(error, problems.status(error), again))
