"""Asking on the command line: `search`, `recommend` and `facets` with every option, as a process's streams show it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from pydantic import SecretStr

import semsearch
from semsearch import Document, batching
from semsearch.config import Settings, parse
from tests.integration.command_line import Cli, Printed, answer
from tests.integration.hands import MODEL
from tests.provider import Provider

START = ["--embedding", "[0, 1]"]
TIED = ("p04", "p05", "p06")  # they are at the same place
CAT, DOG, TAX = (
    "A cat sleeps on the warm mat in the sun all day long. At night it hunts mice in the old barn behind the house. "
    "In winter it stays beside the stove and dreams of birds it never caught.",
    "A dog waits at the garden gate for the postman. It barks at everyone who walks past the house in the morning.",
    "Income tax is due in May.",
)


@pytest.fixture(scope="module")
def asked(module_database_url: str, provider_process: Provider, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL of a database with `points` in the plane, `shared` by two tenants, and `notes` with a model."""
    settings = Settings(
        database_url=module_database_url,
        home=tmp_path_factory.getbasetemp() / "unused",
        openai_api_key=SecretStr("sk-test"),
        openai_base_url=provider_process.url,
    )
    with semsearch.connect(settings=settings) as db:
        db.create_collection("points", dimensions=2, distance="l2", fields={"year": "integer"}).put(points())
        shared = db.create_collection("shared", dimensions=2, fields={"owner": "text"}, tenant="owner")
        shared.put(Document(f"{name}{at}", "", {"owner": name}, embedding=[1, at]) for name in "ab" for at in range(3))
        shared.create_index()
        notes = db.create_collection("notes", model=MODEL, chunk_size=16, chunk_overlap=0)
        notes.put([Document("cat", CAT), Document("dog", DOG), Document("tax", TAX)])
    return module_database_url


def points() -> Iterator[Document]:
    """Twelve documents along an axis, each as far from the start as its number says but for the tied ones."""
    for number in range(12):
        id = f"p{number:02}"
        metadata = {"year": 2000 + number % 3, "tags": ["even", "all"] if number % 2 == 0 else ["all"]}
        yield Document(id, f"step {number}", metadata, embedding=[5 if id in TIED else number, 1])


@pytest.fixture
def environment(asked: str, provider: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain output, and the database that all of these tests ask."""
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("SEMSEARCH_DATABASE_URL", asked)
    monkeypatch.setenv("SEMSEARCH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SEMSEARCH_OPENAI_API_KEY", "sk-test")
    monkeypatch.setenv("SEMSEARCH_OPENAI_BASE_URL", provider.url)


def ids(done: Printed) -> list[str]:
    return [hit["document_id"] for hit in answer(done)["hits"]]


EVEN = '{"filter": {"tags": {"$contains": "even"}}, "weight": -9}'
BOOST = '{"filter": {"year": 2002}, "weight": 9}'

# The options, and the documents that are found then.
OPTIONS = [
    (["--top-k", "2"], ["p00", "p01"]),
    (["--filter", "year = 2002", "--top-k", "2"], ["p02", "p05"]),
    (["--filter", '{"year": 2002}', "--top-k", "2"], ["p02", "p05"]),
    (["--max-distance", "2"], ["p00", "p01", "p02"]),
    (["--per-document", "1", "--top-k", "2"], ["p00", "p01"]),
    (["--plan", "exact", "--top-k", "1"], ["p00"]),
    (["--deadline", "60", "--partial", "--top-k", "1"], ["p00"]),
    (["--boost", BOOST, "--top-k", "3"], ["p02", "p05", "p08"]),
    # 9 + 1 / (1 + distance): at 2, 5 and 8 that is 9.33, 9.17 and 9.11
    (["--boost", BOOST, "--min-score", "9.15"], ["p02", "p05"]),
    (["--boost", BOOST, "--candidates", "1", "--top-k", "1"], ["p00"]),
    (
        ["--boost", BOOST, "--boost", '{"filter": {"tags": {"$contains": "even"}}, "weight": -9}', "--top-k", "1"],
        ["p05"],
    ),
    (["--diversity", "0", "--top-k", "2"], ["p00", "p01"]),
]


@pytest.mark.parametrize(("arguments", "found"), OPTIONS, ids=lambda value: " ".join(value)[:60])
def test_options_decide_which_hits_are_found(cli: Cli, arguments: list[str], found: list[str]) -> None:
    assert ids(cli("search", "points", *START, *arguments, "--json")) == found


def test_a_plan_can_be_forced(cli: Cli) -> None:
    asked = ["search", "shared", "--embedding", "[1, 0]", "--tenant", "a", "--json", "--plan"]
    assert [answer(cli(*asked, plan))["plan"] for plan in ("exact", "ann")] == ["exact", "ann"]


def test_a_tenant_finds_its_own(cli: Cli) -> None:
    assert ids(cli("search", "shared", "--embedding", "[1, 0]", "--tenant", "b", "--json")) == ["b0", "b1", "b2"]
    assert "tenant" in cli("search", "shared", "--embedding", "[1, 0]", code=2).err


def test_words_can_be_what_is_looked_for(cli: Cli) -> None:
    found = answer(cli("search", "points", "step 7", "--mode", "text", "--top-k", "1", "--json"))
    (hit,) = found["hits"]
    assert (found["plan"], hit["document_id"], hit["distance"]) == ("text", "p07", None)
    assert "score" in hit
    shown = cli("search", "points", "step 7", "--mode", "text", "--top-k", "1").out.splitlines()
    assert re.fullmatch(r" 1  p07 +score \d+\.\d{4}", shown[0])


@pytest.mark.parametrize(("fusion", "weights"), [("scores", "0,1"), ("rrf", "0.01,5")])
def test_meaning_and_words_can_be_put_together(cli: Cli, fusion: str, weights: str) -> None:
    how = ["--mode", "hybrid", "--fusion", fusion, "--weights", weights, "--depth", "5"]
    found = answer(cli("search", "notes", "income tax", *how, "--json"))
    assert found["hits"][0]["document_id"] == "tax"
    assert all(hit["score"] is not None for hit in found["hits"])
    assert re.match(r" 1  tax +score \d\.\d{4} · distance \d", cli("search", "notes", "income tax", *how).out)


def test_a_reranker_is_what_its_name_says(cli: Cli) -> None:
    assert (
        "reranker 'nobody:knows' is not known" in cli("search", "notes", "cat", "--rerank", "nobody:knows", code=2).err
    )


def test_pages_show_every_hit_once(cli: Cli) -> None:
    seen: list[str] = []
    after: list[str] = []
    while True:
        page = answer(cli("search", "points", *START, "--top-k", "5", *after, "--json"))
        seen += [hit["document_id"] for hit in page["hits"]]
        if page["next"] is None:
            break
        assert len(page["hits"]) == 5
        after = ["--after", page["next"]]
    assert seen == [f"p{number:02}" for number in range(12)]


def test_the_last_line_leads_to_the_next_page(cli: Cli) -> None:
    first = cli("search", "points", *START, "--top-k", "8").out.splitlines()
    assert first[-2] == "8 hits · plan exact · 12 chunks seen · complete"
    option = first[-1].removeprefix("next page: ").split()
    rest = cli("search", "points", *START, "--top-k", "8", *option).out.splitlines()
    assert [line.split()[1] for line in rest if line.startswith(" ") and " p" in line] == ["p08", "p09", "p10", "p11"]
    assert rest[-1].startswith("4 hits · plan exact · ")


def test_json_says_how_the_hits_were_found_and_nothing_else(cli: Cli) -> None:
    found = answer(cli("search", "points", *START, "--top-k", "1", "--json"))
    assert set(found) == {"hits", "plan", "seen", "complete", "next"}
    assert (found["plan"], found["seen"], found["complete"]) == ("exact", 12, True)
    assert set(found["hits"][0]) == {
        *("distance", "document_id", "ordinal", "text", "metadata", "heading", "start", "end"),
    }


def test_an_explanation_has_the_choice_and_what_postgresql_did(cli: Cli) -> None:
    shown = cli("search", "points", *START, "--explain", "--top-k", "1").out
    assert "plan: exact, because there is no ANN index" in shown
    assert "ORDER BY" in shown
    assert "Execution Time" in shown
    assert shown.index(" 1  p00") < shown.index("plan: exact") < shown.index("1 hit · plan exact")
    explained = answer(cli("search", "points", *START, "--explain", "--top-k", "1", "--json"))["explanation"]
    assert explained.startswith("plan: exact")


def test_the_best_sentence_is_marked(cli: Cli) -> None:
    found = answer(cli("search", "notes", "income tax", "--mode", "text", "--highlight", "--json"))
    (hit,) = found["hits"]
    start, end = hit["highlight"]
    assert hit["text"][start:end] == TAX


def test_neighbours_are_shown_around_a_hit(cli: Cli) -> None:
    found = answer(cli("search", "notes", "hunts mice", "--mode", "text", "--neighbours", "1", "--json"))
    (hit,) = found["hits"]
    assert [chunk["ordinal"] for chunk in hit["before"]] == [hit["ordinal"] - 1]
    assert [chunk["ordinal"] for chunk in hit["after"]] == [hit["ordinal"] + 1]
    shown = " ".join(cli("search", "notes", "hunts mice", "--mode", "text", "--neighbours", "1").out.split())
    assert " ".join(f"{hit['before'][0]['text']} {hit['text']} {hit['after'][0]['text']}".split()) in shown


def test_hits_of_a_document_are_shown_together(cli: Cli) -> None:
    shown = cli("search", "notes", "house", "--mode", "text", "--per-document", "2", "--top-k", "2").out
    ranks = [line.split()[:2] for line in shown.splitlines() if re.match(r" \d  ", line)]
    assert [rank for rank, _ in ranks] == ["1", "2"]
    assert {name for _, name in ranks} == {"cat", "dog"}
    assert "hits in 2 documents" in shown


@pytest.mark.parametrize("where", ["questions.txt", "-"])
def test_every_line_of_a_file_is_asked(cli: Cli, provider: Provider, tmp_path: Path, where: str) -> None:
    lines = "income tax\n\n  a dog at the gate \n"
    (tmp_path / "questions.txt").write_text(lines)
    given = str(tmp_path / where) if where != "-" else where
    done = cli("search", "notes", "--each", given, "--top-k", "1", "--json", stdin=lines)
    answers = [json.loads(line) for line in done.out.splitlines()]
    assert [each["query"] for each in answers] == ["income tax", "a dog at the gate"]
    assert all(len(each["hits"]) == 1 for each in answers)
    shown = cli("search", "notes", "--each", given, "--top-k", "1", stdin=lines).out
    assert shown.index(" income tax ") < shown.index(" a dog at the gate ")
    assert shown.count("1 hit · plan exact") == 2


def test_every_line_is_asked_in_batches_that_the_model_is_given_at_once(
    cli: Cli, provider: Provider, tmp_path: Path
) -> None:
    (tmp_path / "many.txt").write_text("".join(f"question {number}\n" for number in range(150)))
    answered = cli("search", "notes", "--each", str(tmp_path / "many.txt"), "--top-k", "1", "--json").out.splitlines()
    assert [json.loads(line)["query"] for line in answered] == [f"question {number}" for number in range(150)]
    sizes = [len(call["inputs"]) for call in provider.calls if call["inputs"][0].startswith("question")]
    assert sizes == [batching.LARGEST, batching.LARGEST, 150 - 2 * batching.LARGEST]


def test_the_statement_can_be_seen_instead(cli: Cli) -> None:
    for command in (["search", "points", *START], ["recommend", "points", "--like", "p00"]):
        shown = cli(*command, "--sql").out
        assert "ORDER BY" in shown
        assert "p01" not in shown
        assert answer(cli(*command, "--sql", "--json"))["sql"] == shown.rstrip("\n")


def test_what_is_like_some_and_unlike_others_is_found(cli: Cli) -> None:
    liked = ["recommend", "points", "--like", "p00", "--like", "p02"]
    found = ids(cli(*liked, "--top-k", "1", "--json"))
    assert found == ["p01"]  # the middle of the two, which are left out
    assert set(ids(cli(*liked, "--json"))).isdisjoint({"p00", "p02"})
    away = ids(cli(*liked, "--unlike", "p09", "--json"))
    assert "p09" not in away
    assert len(away) == 9
    shown = cli(*liked, "--top-k", "1", "--filter", "year = 2001").out
    assert shown.startswith(" 1  p01")
    assert "1 hit · plan exact" in shown


def test_texts_can_be_examples(cli: Cli) -> None:
    found = cli("recommend", "notes", "--like-text", TAX, "--unlike-text", "a dog", "--top-k", "1", "--json")
    assert ids(found) == ["tax"]


def test_facets_count_documents_by_value(cli: Cli) -> None:
    found = answer(cli("facets", "points", "year", "tags", "--limit", "2", "--json"))["facets"]
    assert found["year"] == {
        "values": [{"value": 2000, "documents": 4}, {"value": 2001, "documents": 4}],
        "distinct": 3,
        "missing": 0,
    }
    assert found["tags"]["values"] == [{"value": "all", "documents": 12}, {"value": "even", "documents": 6}]


def test_facets_are_readable(cli: Cli) -> None:
    shown = [line.split() for line in cli("facets", "points", "year", "color", "--limit", "1").out.splitlines()]
    assert shown == [
        ["year", "documents"],
        ["2000", "4"],
        ["and", "2", "more", "values", "(--limit)"],
        [],
        ["color", "documents"],
        ["(none)", "12"],
    ]


@pytest.mark.parametrize(
    ("condition", "years"),
    [
        ("id in (p00, p01)", {2000: 1, 2001: 1}),
        ("text match '7'", {2001: 1}),
        ("not text match '7'", {2000: 4, 2001: 3}),
    ],
)
def test_facets_are_of_the_documents_that_match(cli: Cli, condition: str, years: dict[int, int]) -> None:
    found = answer(cli("facets", "points", "year", "--filter", condition, "--json"))["facets"]["year"]["values"]
    counted = {each["value"]: each["documents"] for each in found}
    assert {year: counted.get(year) for year in years} == years


def test_a_document_is_counted_once_however_many_of_its_chunks_match(cli: Cli) -> None:
    found = answer(cli("facets", "notes", "color", "--filter", "text match house", "--json"))["facets"]["color"]
    assert found["missing"] == 2  # the cat's and the dog's


def test_facets_are_of_the_tenants_own(cli: Cli) -> None:
    counted = answer(cli("facets", "shared", "owner", "--tenant", "a", "--json"))["facets"]["owner"]
    assert counted["values"] == [{"value": "a", "documents": 3}]
    assert "tenant" in cli("facets", "shared", "owner", code=2).err


FAILURES: list[tuple[list[str], int, str]] = [
    (["search", "points", *START, "--top-k", "0"], 2, "top_k"),
    (["search", "points", *START, "--top-k", "many"], 2, "--top-k"),
    (["search", "points", *START, "--filter", "year >"], 2, "filter"),
    (["search", "points", *START, "--filter", '{"year": '], 2, "not JSON"),
    (["search", "points", *START, "--weights", "much,little"], 2, "0.7,0.3"),
    (["search", "points", *START, "--weights", "1,2,3"], 2, "weights"),
    (["search", "points", *START, "--mode", "magic"], 2, "--mode"),
    (["search", "points", *START, "--mode", "text"], 2, "in words"),
    (["search", "points", *START, "--fusion", "magic"], 2, "--fusion"),
    (["search", "points", *START, "--plan", "magic"], 2, "--plan"),
    (["search", "points", *START, "--boost", "[1]"], 2, "--boost"),
    (["search", "points", *START, "--boost", '{"field": "year"}'], 2, "boosts[0]"),
    (["search", "points", *START, "--diversity", "2"], 2, "diversity"),
    (["search", "points", *START, "--candidates", "0"], 2, "candidates"),
    (["search", "points", *START, "--depth", "0"], 2, "depth"),
    (["search", "points", *START, "--per-document", "0"], 2, "per_document"),
    (["search", "points", *START, "--max-distance", "nan"], 2, "max_distance"),
    (["search", "points", *START, "--min-score", "1"], 2, "max_distance"),
    (["search", "points", *START, "--after", "nonsense"], 2, "next"),
    (["search", "points", *START, "--neighbours", "99"], 2, "neighbours"),
    (["search", "points", *START, "--deadline", "0"], 2, "deadline"),
    (["search", "points", *START, "--partial"], 2, "deadline"),
    (["search", "points", *START, "--tenant", "a"], 2, "tenant"),
    (["search", "points", "in words"], 2, "no model"),
    (["search", "points", *START, "--each", "-"], 2, "--each"),
    (["search", "points", "--each", "no/such/file"], 3, "no/such/file"),
    (["search", "points", "--each", "."], 2, "'.'"),
    (["recommend", "points"], 2, "example"),
    (["recommend", "points", "--like", "nowhere"], 3, "nowhere"),
    (["recommend", "points", "--like-text", "in words"], 2, "no model"),
    (["facets", "points"], 2, "FIELD"),
    (["facets", "points", "year", "--limit", "0"], 2, "from 1 to"),
    (["facets", "points", "a..b"], 2, "facets[0]"),
    (["facets", "pionts", "year"], 3, "points"),
]


@pytest.mark.parametrize(("arguments", "code", "says"), FAILURES, ids=lambda value: str(value)[:70])
def test_a_failure_is_one_line_and_says_what_is_wrong(cli: Cli, arguments: list[str], code: int, says: str) -> None:
    done = cli(*arguments, code=code)
    assert done.out == ""
    assert done.err.startswith("error: ")
    assert done.err.count("\n") == 1
    assert says in done.err


def test_nothing_is_asked_where_a_file_has_no_lines(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("\n \n")
    assert cli("search", "points", "--each", str(tmp_path / "empty.txt"), "--json").out == ""


def test_a_deadline_that_is_missed_is_told(cli: Cli, asked: str) -> None:
    with psycopg.connect(parse(asked)) as other:
        other.execute("LOCK TABLE collections.points")
        assert "deadline of 0.1 s" in cli("search", "points", *START, "--deadline", "0.1", code=5).err
