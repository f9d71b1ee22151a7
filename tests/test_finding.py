"""A user's file goes before the checkout's, and nothing is absolute that need not be."""

from __future__ import annotations

from pathlib import Path

import pytest

from leakscope.configuration.layers import shipped
from leakscope.configuration.resolving import resolve
from leakscope.errors import InputError
from leakscope.files import finding
from leakscope.files.finding import folders, found, own, places
from leakscope.leak.prompts import template_files
from leakscope.workflow.study import Study

NEUTRAL, PART = "data/validate/neutral.txt", "data/grammar/leak"


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory that is not the checkout."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_at_home_paths_are_as_they_are_written(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    for path in (NEUTRAL, "no/such/file"):
        assert found(path) == own(path) == path
    assert folders("data/lexicons") == [Path("data/lexicons")]
    assert places("no/such/file") == "'no/such/file'"


def test_elsewhere_the_working_directory_goes_first_and_the_checkout_second(elsewhere: Path, root: Path) -> None:
    assert found(NEUTRAL) == own(NEUTRAL) == str(root / NEUTRAL)
    mine = elsewhere / NEUTRAL
    mine.parent.mkdir(parents=True)
    mine.write_text("Mine.")
    assert found(NEUTRAL) == NEUTRAL
    assert own(NEUTRAL) == str(root / NEUTRAL)


def test_what_is_in_neither_is_left_for_an_error_that_names_both(elsewhere: Path, root: Path) -> None:
    assert found("no.csv") == "no.csv"
    assert places("no.csv") == f"'no.csv' (neither in {elsewhere} nor in {root})"
    assert places("/no.csv") == "'/no.csv'"
    (elsewhere / "no.csv").touch()
    assert places("no.csv") == "'no.csv'"


def test_a_pattern_is_found_by_what_it_matches(elsewhere: Path, root: Path) -> None:
    assert found("data/validate/*.txt") == str(root / "data/validate/*.txt")
    assert found("data/*.no") == "data/*.no"
    (elsewhere / "data/validate").mkdir(parents=True)
    (elsewhere / "data/validate/mine.txt").touch()
    assert found("data/validate/*.txt") == "data/validate/*.txt"


def test_under_a_prefix_all_is_absolute(elsewhere: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (elsewhere / "mine.txt").touch()
    assert found("mine.txt", absolute=True) == str(elsewhere / "mine.txt")
    assert found(NEUTRAL, absolute=True) == str(root / NEUTRAL)
    monkeypatch.chdir(root)
    assert found(NEUTRAL, absolute=True) == own(NEUTRAL, absolute=True) == str(root / NEUTRAL)


def test_of_two_lexicons_with_one_name_the_users_is_read(elsewhere: Path, root: Path) -> None:
    (elsewhere / "data/lexicons").mkdir(parents=True)
    (elsewhere / "data/lexicons/colors.yaml").touch()
    files = template_files(root / "data/prompt_sets/colors", folders("data/lexicons"))
    assert Path("data/lexicons/colors.yaml") in files
    assert root / "data/lexicons/color_foods.yaml" in files
    assert root / "data/lexicons/colors.yaml" not in files


def test_a_users_part_of_a_grammar_goes_first_and_as_a_whole(elsewhere: Path, root: Path) -> None:
    study = Study(resolve(shipped(root)))
    assert study.grammar_files(["leak"]) == [str(root / PART / f"{n}.csv") for n in ("candidates", "contexts", "facts")]
    (elsewhere / PART).mkdir(parents=True)
    assert study.grammar_files(["leak"]) == [f"{PART}/{name}.csv" for name in ("candidates", "contexts", "facts")]


def test_an_error_of_a_study_says_where_a_file_was_looked_for(elsewhere: Path, root: Path) -> None:
    brought = {"study": {"prompt_sets": ["mine"]}, "prompt_sets": {"mine": {"source": "table", "path": "data/no.csv"}}}
    with pytest.raises(InputError) as caught:
        resolve(shipped(root), brought)
    assert str(caught.value) == (
        f"config: prompt_sets.mine.path: got 'data/no.csv' (neither in {elsewhere} nor in {root}); "
        "allowed: a file that exists."
    )


def test_the_store_is_where_the_study_says_whether_it_is_there_or_not(
    elsewhere: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GROUP", "/group")
    below = shipped(root)
    assert resolve(below)["store"] == "results/store"
    assert resolve(below, {"store": "$GROUP/store"})["store"] == "/group/store"
    assert resolve(below, {"store": "~/store"})["store"] == str(Path.home() / "store")
    with pytest.raises(InputError, match="store: got '\\$NO_SUCH/x'; the environment variable NO_SUCH is not set"):
        resolve(below, {"store": "$NO_SUCH/x"})


def test_the_checkout_is_the_folder_of_the_snakefile() -> None:
    assert (finding.CHECKOUT / "Snakefile").is_file()
