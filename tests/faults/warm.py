"""Imported by the process that others are forked from: what a worker would have to build first is there already."""

from __future__ import annotations

from semantic_text_splitter import TextSplitter

# The tokenizer's tables are kept by the library: 0.1 s of a worker that lives two.
TextSplitter.from_tiktoken_model("text-embedding-3-small", 1)
