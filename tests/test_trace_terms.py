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
