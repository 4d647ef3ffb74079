"""Filters: conditions on metadata, ids and text, from what users write to the SQL that PostgreSQL runs.

    filter = {"year": {"$gte": 2020}, "lang": {"$in": ["en", "de"]}}          # JSON
    filter = (F("year") >= 2020) & F("lang").in_(["en", "de"])                # Python, see `expressions`
    filter = filters.from_text("year >= 2020 and lang in (en, de)")           # a command line, see `text_form`

    filters.compile(filters.parse(filter), filters.Columns(chunks.c.metadata))

A filter is an object. Its keys are metadata keys, with a value (equal) or an object of operators, or one of the six
below. Everything side by side must hold; `{}` matches everything. `author.name` is the key `name` in the object
`author`; a key that has a dot of its own cannot be asked for (plain SQL on the view can).

| around | matches where |
|---|---|
| `$and`, `$or`: a list of filters | all of them match, one of them does |
| `$not`: a filter; in a field: operators | that does not match |
| `$at_least`: `{"count": 2, "of": [...]}` | so many of the filters match, or more |
| `$id`: a text or `$eq $ne $in $nin $starts_with` | the document's id is such |
| `$text`: `{"$match": "reset password"}` | heading and text have all the words, by the collection's language |
| `$text`: `{"$phrase": "reset my password"}` | they have them one after another |
| `$text`: `{"$contains": "a_b"}`, `$icontains` | the chunk's text has these very characters; in capitals or not |

| asked for | matches where the value at the key is |
|---|---|
| `v`, `{"$eq": v}` | a scalar equal to v and of v's type: text, number, boolean or null |
| `{"$gt": v}`, `$gte`, `$lt`, `$lte` | of v's type, number or text, and greater ... than v |
| `{"$between": [v, w]}` | at least v and at most w |
| `{"$in": [v, w]}` | equal to v or to w; an empty list matches nothing |
| `{"$exists": true}` | there, be it null |
| `{"$null": true}` | there, and null |
| `{"$empty": true}` | missing, null, `""`, `[]` or `{}` |
| `{"$contains": v}` | a list that holds a scalar equal to v |
| `{"$contains_any": [v, w]}`, `$overlaps` | a list that holds v or w; an empty list matches nothing |
| `{"$contains_all": [v, w]}` | a list that holds v and w; an empty list matches every list |
| `{"$size": 2}`, `{"$size": {"$gte": 2}}` | a list so long; or `$eq $gt $gte $lt $lte $between`, and `$ne` |
| `{"$like": "a%_"}`, `$ilike` | a text of that shape: % any text, _ any character, backslash makes plain |
| `{"$starts_with": "a"}` | a text that begins so |
| `{"$regex": "a+b"}` | a text in which that is found; `semsearch.filters.patterns` says what it may be |
| `$ne $nin $contains_none`, `{"$exists": false}` ..., `{"$not": {...}}` | what the opposite does not match |

What follows from it, with no third truth value anywhere:

| value | how it compares |
|---|---|
| a missing key | equals nothing, not even null: `$eq`, `$in`, `$gt` ... do not match, `$ne`, `$nin`, `$not` do |
| null | equals null only, and has no order |
| of another type | `"5"` is not 5, 1 is not true; nothing is converted, so neither matches and `$ne` does |
| a number | as a number, exactly: 2020 equals 2020.0. A float is what its shortest decimals say, 0.1 |
| a text | by Unicode code point (collation "C"), on every server alike: "Z" < "a" < "ä" |
| a text in `$ilike`, `$icontains` | capitals as the database's locale pairs them: in the locale "C" only A to Z |
| a date or datetime of Python | as its ISO text, so in text order; a declared date or timestamp compares as a moment |
| a list | equals no scalar, has no order and is no text, whatever is in it; `$contains` ... and `$size` look into it |
| an object, or a list in a list | equals no scalar, is held by no `$contains` and has no size |

A declared field (`semsearch.fields`) obeys the same table, except that the value asked for must fit its type (of a
field that is no text, no text operator; of any, no `$contains` and no `$size`): anything else is a FilterError, and a
document's value that does not fit counts as missing (only `$exists`, `$null`, `$empty` and null still see it). A
declared float is rounded to double precision on both sides.

Indexes serve `$eq`, `$in`, `$null` and `$contains` ... of any key (GIN on metadata), all comparisons and `$starts_with`
of declared fields, `$like` of a declared text from its first plain characters, `$id`, and `$match` and `$phrase`.
"""

from semsearch.filters.columns import Columns
from semsearch.filters.compiler import compile
from semsearch.filters.expressions import Expression, F
from semsearch.filters.reach import reads_text
from semsearch.filters.statistics import estimable
from semsearch.filters.syntax import parse
from semsearch.filters.text_form import from_text
from semsearch.filters.tree import (
    DOCUMENT_ID,
    And,
    AtLeast,
    Comparison,
    Contains,
    Empty,
    Exists,
    Filter,
    In,
    Matches,
    Not,
    Or,
    Size,
    Text,
)

__all__ = [
    "DOCUMENT_ID",
    "And",
    "AtLeast",
    "Columns",
    "Comparison",
    "Contains",
    "Empty",
    "Exists",
    "Expression",
    "F",
    "Filter",
    "In",
    "Matches",
    "Not",
    "Or",
    "Size",
    "Text",
    "compile",
    "estimable",
    "from_text",
    "parse",
    "reads_text",
]
