"""The reference ranking, run by an environment of its own: reads a corpus and ids, prints a ranking for each id.

    python bm25s_reference.py CORPUS.json < ids.json

CORPUS is a JSON object of id to text; out comes a JSON object of id to the best ids.
"""

import json
import sys
from typing import Any

import bm25s
import Stemmer

DEPTH = 101


def main(path: str) -> None:
    """BM25 with an English stemmer and stop words, k1 1.2 and b 0.75; a query is the text of its document."""
    with open(path, encoding="utf-8") as file:
        corpus = json.load(file)
    ids, stemmer = list(corpus), Stemmer.Stemmer("english")
    index = bm25s.BM25(k1=1.2, b=0.75)
    index.index(_tokens(list(corpus.values()), stemmer), show_progress=False)
    ranking = {}
    for wanted in json.load(sys.stdin):
        found, _ = index.retrieve(_tokens([corpus[wanted]], stemmer), k=min(DEPTH, len(ids)), show_progress=False)
        ranking[wanted] = [ids[place] for place in found[0]]
    json.dump(ranking, sys.stdout)


def _tokens(texts: list[str], stemmer: Any) -> Any:
    return bm25s.tokenize(texts, stopwords="en", stemmer=stemmer, show_progress=False)


if __name__ == "__main__":
    main(sys.argv[1])
