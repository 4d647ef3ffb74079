"""A small cross-encoder for the benchmarks, made here where no model hub can be reached: 4 minutes of one core.

all-MiniLM-L6-v2 learns to tell the text that answers a question from two that do not: paragraphs of the same article
(XQuAD) and answers about the same disease (MedQuAD). A thousand questions teach it little: what it reranks gets worse
(nDCG@10 of 31 to 40 queries, 20 texts each: cranfield .388 to .250, stackfaq .951 to .820, dbpedia .511 to .451,
scifact .642 to .344). It shows that reranking works from end to end and what it costs, not what it is worth: that
takes a model made from millions of searches, such as cross-encoder/ms-marco-MiniLM-L6-v2.
"""

from __future__ import annotations

import random
import re
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from semsearch.embedders import local_model
from tests.benchmarks import shared_data
from tests.benchmarks.home import MODEL
from tests.benchmarks.report import RESULTS

NAME = "cross_encoder"
FOLDER = RESULTS / "cross-encoder"
LEARNT = "xquad-en"  # so it is not measured on it
TOKENS = 128  # that it reads; longer texts are cut
WRONG = 2  # texts beside each right one
GROUPS = 8  # questions of a step
QUESTIONS = 500  # of either set
FROZEN = 3  # layers of six
RATE = 1e-4

_TOPIC = re.compile(
    r"^(?:what|how|who|is|do|does|are).*?\b(?:of|for|by|is \(are\)|have|to)\b (?P<topic>.+?) ?\?$", re.I
)


class Question(NamedTuple):
    """A question with the text that answers it, and texts near it that do not."""

    text: str
    right: str
    wrong: Sequence[str]


def folder() -> Path:
    """Where the model is; it is made when it is not there."""
    if not (FOLDER / "config.json").exists():
        make()
    return FOLDER


def make() -> None:
    """Train with cross-entropy over each question's texts, and write the model as safetensors."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer
    from transformers.utils import logging

    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    torch.manual_seed(0)
    start = str(local_model.find(MODEL.partition(":")[2]))
    model = AutoModelForSequenceClassification.from_pretrained(start, num_labels=1, local_files_only=True)
    tokenizer = AutoTokenizer.from_pretrained(start, local_files_only=True)
    for part in (model.base_model.embeddings, *model.base_model.encoder.layer[:FROZEN]):
        part.requires_grad_(False)  # halves the time
    asked = [*_of_articles(), *_of_diseases()]
    random.Random(0).shuffle(asked)
    steps = len(asked) // GROUPS
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps, pct_start=0.1)
    model.train()
    for step in range(steps):
        read = _read(tokenizer, asked[step * GROUPS : (step + 1) * GROUPS])
        with torch.autocast("cpu", torch.bfloat16):
            scores = model(**read).logits.view(-1, WRONG + 1)
        loss = torch.nn.functional.cross_entropy(scores.float(), torch.zeros(len(scores), dtype=torch.long))
        loss.backward()
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % 20 == 0:
            print(f"cross-encoder: step {step} of {steps}, loss {loss.item():.3f}", flush=True)
    FOLDER.mkdir(parents=True, exist_ok=True)
    tokenizer.model_max_length = 512
    tokenizer.save_pretrained(FOLDER)
    model.save_pretrained(FOLDER, safe_serialization=True)


def _read(tokenizer: Any, asked: Sequence[Question]) -> Any:
    pairs = [(question.text, text) for question in asked for text in (question.right, *question.wrong)]
    return tokenizer(pairs, padding=True, truncation="only_second", max_length=TOKENS, return_tensors="pt")


def _of_articles() -> Iterator[Question]:
    """Questions on paragraphs; ids are article_paragraph."""
    data = shared_data.retrieval_set(LEARNT)
    articles: dict[str, list[str]] = defaultdict(list)
    texts = {document.id: document.text for document in data.documents}
    for id, text in texts.items():
        articles[id.rpartition("_")[0]].append(text)
    chance = random.Random(1)
    for id, query in chance.sample(sorted(data.queries.items()), QUESTIONS):
        (paragraph,) = data.qrels[id]
        others = [text for text in articles[paragraph.rpartition("_")[0]] if text != texts[paragraph]]
        yield Question(query, texts[paragraph], _some(chance, others, list(texts.values())))


def _of_diseases() -> Iterator[Question]:
    """Questions with the start of their answers."""
    about: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for row in shared_data.passages():
        if row["metadata"]["source"] == "medquad" and row["_id"].endswith("#0"):
            topic = _TOPIC.match(row["title"])
            about[topic["topic"].lower() if topic else row["title"]].append((row["title"], row["text"]))
    every = [pair for pairs in about.values() for pair in pairs]
    chance = random.Random(2)
    for topic in chance.sample(sorted(topic for topic, pairs in about.items() if len(pairs) > 1), QUESTIONS):
        title, text = chance.choice(about[topic])
        others = [other for heading, other in about[topic] if heading != title]
        yield Question(title, text, _some(chance, others, [other for heading, other in every if heading != title]))


def _some(chance: random.Random, near: Sequence[str], every: Sequence[str]) -> list[str]:
    """As many as are needed: one that is near if there is one, others from anywhere."""
    chosen = chance.sample(near, min(WRONG - 1, len(near)))
    return [*chosen, *chance.sample(every, WRONG - len(chosen))]


def main(arguments: Sequence[str] = ()) -> int:
    print(folder())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
