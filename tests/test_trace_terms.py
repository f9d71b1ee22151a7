from pathlib import Path

import pandas as pd

from leakscope.counting.lexicons import read_concepts
from leakscope.files.tables import write_csv
from leakscope.trace.terms import counted_terms


def test_terms_are_counted_with_and_without_article_and_never_for_two(tmp_path: Path) -> None:
    prompts = pd.DataFrame(
        {"concept": [None, "red", "wine red", "lime green"], "concept_group": [None, "red", "red", "green"]}
    )
    candidates = pd.DataFrame({"candidate": ["a cherry", "cherry", "Red", "a lime", "some Crème", "creme"]})
    for name, table in counted_terms(prompts, candidates)._asdict().items():
        write_csv(table, tmp_path / f"{name}.csv")
    concepts, associates = (read_concepts(tmp_path / f"{name}.csv") for name in ("concepts", "associates"))
    assert {concept.id: concept.terms for concept in concepts} == {
        "red": ("red", "wine red"),
        "green": ("green", "lime green"),
    }
    # "cherry" is what "a cherry" is without its article, and "Red" a concept.
    assert {concept.id: concept.terms for concept in associates} == {
        "a-cherry": ("a cherry", "cherry"),
        "a-lime": ("a lime", "lime"),
        "some-creme": ("some Crème", "Crème"),
        "creme": ("creme",),
    }


def test_no_id_is_a_term_of_another_concept(tmp_path: Path) -> None:
    prompts = pd.DataFrame({"concept": ["C++", "C", "term", "\u8d64"], "concept_group": ["C++", "C", "term", "\u8d64"]})
    write_csv(counted_terms(prompts, pd.DataFrame({"candidate": []})).concepts, tmp_path / "concepts.csv")
    ids = {concept.id: concept.terms[0] for concept in read_concepts(tmp_path / "concepts.csv")}
    assert ids == {"c-2": "C++", "c": "C", "term": "term", "term-2": "\u8d64"}
