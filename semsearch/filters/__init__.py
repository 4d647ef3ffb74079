"""Filters: conditions on metadata, from the JSON that users write to the SQL that PostgreSQL runs.

    filters.compile(filters.parse({"year": {"$gte": 2020}, "lang": {"$in": ["en", "de"]}}), chunks.c.metadata, {})

A filter is an object. Its keys are metadata keys, with a value (equal) or an object of operators, or `$and`, `$or` (a
list of filters) and `$not` (a filter). Everything side by side must hold; `{}` matches everything. `author.name` is
the key `name` in the object `author`; a key that has a dot of its own cannot be asked for (plain SQL on the view can).

| asked for | matches where the value at the key is |
|---|---|
| `v`, `{"$eq": v}` | a scalar equal to v and of v's type: text, number, boolean or null |
| `{"$gt": v}`, `$gte`, `$lt`, `$lte` | of v's type, number or text, and greater ... than v |
| `{"$in": [v, w]}` | equal to v or to w; an empty list matches nothing |
| `{"$exists": true}` | there, be it null |
| `{"$ne": v}`, `$nin`, `{"$exists": false}`, `{"$not": {...}}` | what the opposite does not match |

What follows from it, with no third truth value anywhere:

| value | how it compares |
|---|---|
| a missing key | equals nothing, not even null: `$eq`, `$in`, `$gt` ... do not match, `$ne`, `$nin`, `$not` do |
| null | equals null only, and has no order |
| of another type | `"5"` is not 5, 1 is not true; nothing is converted, so neither matches and `$ne` does |
| a number | as a number, exactly: 2020 equals 2020.0. A float is what its shortest decimals say, 0.1 |
| a text | by Unicode code point (collation "C"), on every server alike: "Z" < "a" < "ä" |
| a date or datetime of Python | as its ISO text, so in text order; a declared date or timestamp compares as a moment |
| a list or an object | equals no scalar and has no order, whatever is in it |

A declared field (`semsearch.fields`) obeys the same table, except that the value asked for must fit its type: anything
else is a FilterError, and a document's value that does not fit counts as missing (only `$exists` and null still see
it). A declared float is rounded to double precision on both sides.
"""

from semsearch.filters.compiler import compile
from semsearch.filters.syntax import parse
from semsearch.filters.tree import And, Comparison, Exists, Filter, In, Not, Or

__all__ = ["And", "Comparison", "Exists", "Filter", "In", "Not", "Or", "compile", "parse"]
