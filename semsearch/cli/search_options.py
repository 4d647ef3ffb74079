"""The options of a search, for the commands that answer with hits, and their help under headings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import click

from semsearch.cli import options

if TYPE_CHECKING:
    from semsearch.request import Options

MODES = ("vector", "text", "hybrid")
FUSIONS = ("scores", "rrf")
PLANS = ("auto", "exact", "ann")

# The headings of the help, and the parameters under each; what is under none comes last.
HEADINGS = {
    "Instead of a question": ("document_id", "embedding", "each"),
    "Examples to be near, and to be far from": ("like", "unlike", "like_text", "unlike_text"),
    "Which hits": ("top_k", "filter", "tenant", "max_distance", "min_score", "per_document", "after"),
    "How they are found": ("mode", "fusion", "weights", "depth", "plan", "deadline", "partial"),
    "In which order": ("rerank", "boosts", "diversity", "candidates"),
    "What is shown": ("highlight", "neighbours", "explain", "sql", "as_json"),
}


class Command(click.Command):
    """A command with so many options that its help has headings."""

    def format_options(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Each heading with its options, in its order."""
        every = [each for each in self.get_params(context) if isinstance(each, click.Option)]
        records = {option.name: option.get_help_record(context) for option in every}
        sections = {heading: [records.pop(name, None) for name in names] for heading, names in HEADINGS.items()}
        sections[[*HEADINGS][-1]] += records.values()
        for heading, some in sections.items():
            if shown := [record for record in some if record is not None]:
                with formatter.section(heading):
                    formatter.write_dl(shown)


def given(values: Mapping[str, Any]) -> Options:
    """The options that were given on the command line, as a search takes them.

    Raises InvalidInput: what makes no sense is refused before a database is opened.
    """
    from semsearch.request import Request

    found = cast("Options", {name: value for name, value in values.items() if value is not None})
    Request.of(found)
    return found


def _numbers(_: click.Context, parameter: click.Parameter, value: str | None) -> tuple[float, ...] | None:
    if value is None:
        return None
    try:
        return tuple(float(number) for number in value.split(","))
    except ValueError:
        raise click.BadParameter(f"two numbers are wanted, such as 0.7,0.3: {value}", param=parameter) from None


def _objects(context: click.Context, parameter: click.Parameter, values: Sequence[str]) -> list[Any]:
    return [options.json_object(context, parameter, value) for value in values]


Decorator = Callable[[Any], Any]

COMMON: tuple[Decorator, ...] = (
    click.option("--top-k", type=int, metavar="N", help="How many hits (10); documents, with --per-document."),
    click.option("--filter", metavar="FILTER", callback=options.filter_form, help="What the metadata of hits must be."),
    options.tenant_option,
    click.option("--max-distance", type=float, metavar="X", help="No hit that is farther."),
    click.option("--min-score", type=float, metavar="X", help="No hit that scores less, where there are scores."),
    click.option("--per-document", type=int, metavar="N", help="At most N hits of a document, side by side."),
    click.option("--after", metavar="CURSOR", help="The next page: what the last line of this one says."),
    click.option("--plan", type=click.Choice(PLANS), help="To compare all, or walk the index only."),
    click.option("--deadline", type=float, metavar="SECONDS", help="Give up then."),
    click.option("--partial", is_flag=True, help="Then show the best so far instead."),
    click.option(
        "--boost", "boosts", metavar="JSON", multiple=True, callback=_objects, help="What else counts; may be repeated."
    ),
    click.option("--diversity", type=float, metavar="0..1", help="How much hits must differ from one another."),
    click.option("--candidates", type=int, metavar="N", help="How many of the nearest are put into order."),
    click.option("--highlight", is_flag=True, help="Mark the sentence of each hit that answers best."),
    click.option("--neighbours", type=int, metavar="N", help="The N chunks before and after each hit."),
    click.option("--explain", is_flag=True, help="Why this plan, and PostgreSQL's own EXPLAIN."),
    click.option("--sql", is_flag=True, help="The statement sent to PostgreSQL, instead of the hits."),
    options.json_option,
)

OF_QUESTIONS: tuple[Decorator, ...] = (
    click.option("--mode", type=click.Choice(MODES), help="By meaning, by words (BM25), or by both."),
    click.option("--fusion", type=click.Choice(FUSIONS), help="Of hybrid: how both are put together."),
    click.option("--weights", metavar="W,W", callback=_numbers, help="Of hybrid: of meaning, of words: 0.7,0.3."),
    click.option("--depth", type=int, metavar="N", help="Of hybrid: how many hits of each."),
    click.option("--rerank", metavar="MODEL", help="A cross-encoder, which reads question and text together."),
)


def common(function: Any) -> Any:
    """What every search can be told."""
    return _all(COMMON, function)


def of_questions(function: Any) -> Any:
    """What only a search for a question in words can be told."""
    return _all(OF_QUESTIONS, function)


def _all(decorators: Sequence[Decorator], function: Any) -> Any:
    for decorate in decorators:
        function = decorate(function)
    return function
