"""Which texts restate their prompts."""

from __future__ import annotations

import pandas as pd
import pytest

from leakscope.leak.measures.echo import closing_words, echo_warnings, restated

DOOR = "The front door is lemon yellow. The wall is"
TEMPLATE = "Complete the sentence: {prompt} {your_answer}\nYour answer:"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The front door is lemon green", "prompt"),  # 5 of 6 in order
        ("The front door was always painted green", ""),  # 3 of 7
        ("The front door was green", "prompt"),  # 3 of 5: exactly 60 %
        ("The old front door was green", ""),  # 3 of 6
        ("is door front the", ""),  # all of them, but in another order
        ("a door is lemon yellow, they say, as is the whole house", "prompt"),  # door is lemon yellow
        ("is lemon yellow, like so much else in that old house", ""),  # one word beside the concept
        ("lemon yellow. The rest of that old house had been white", ""),  # lemon yellow the: one, too
        ("lemon yellow. The wall of that old house had been white", "prompt"),  # lemon yellow the wall
        ("Lemon yellow.", ""),  # the concept alone is a repetition
        ("lemon yellow, lemon yellow", ""),
        ("The wall is green.", ""),  # goes on with the unfinished sentence
        ("The wall is lemon yellow.", ""),
        ("The wall is: the front door is lemon green", "prompt"),
        ("green.", ""),
        ("the wall", ""),
        ("", ""),
        (" \n", ""),
        ("Your answer:", "template"),
        ("Your answer: your answer:", "template"),
        ("Your answer: green.", ""),
        ("YOUR ANSWER: the front door is lemon green", "prompt"),
        ("Your answers differ", ""),
    ],
)
def test_a_text_is_held_against_its_prompt_and_the_end_of_the_template(text: str, found: str) -> None:
    assert restated(text, DOOR, "lemon yellow", closing_words(TEMPLATE)) == found


def test_a_control_is_restated_by_words_in_order_alone() -> None:
    assert restated("The front door is green", "The front door is shut. The wall is") == "prompt"
    assert restated("door is shut", "The front door is shut. The wall is") == "prompt"
    assert restated("is shut. The", "The front door is shut. The wall is") == ""
    assert restated("The wall is green", "The front door is shut. The wall is") == ""


def test_a_text_that_goes_on_with_the_unfinished_sentence_in_other_words_is_no_echo() -> None:
    prompt = "The canvas was lemon yellow. The paint in the palette was pigmented"
    assert restated("The paint was vibrant red", prompt, "lemon yellow") == ""
    assert restated("The canvas was vibrant red", prompt, "lemon yellow") == "prompt"
    # A colon begins a sentence, and may end the prompt.
    assert restated("His favorite food is pizza", "Complete the sentence: His favorite food is") == ""
    assert restated("The CEO is wearing a suit", "The firm lost money. Here is what the CEO is wearing:") == ""


def test_an_unfinished_sentence_that_holds_the_concept_is_restated() -> None:
    prompt = "The man who likes yellow is called"
    assert restated("The man who likes yellow is called Bob", prompt, "yellow") == "prompt"
    assert restated("likes yellow", prompt, "yellow") == ""


def test_a_long_concept_alone_is_no_echo() -> None:
    prompt = "That was a piece of cake for her. She likes"
    assert restated("a piece of cake", prompt, "a piece of cake") == ""
    assert restated("That was a piece of cake", prompt, "a piece of cake") == "prompt"


def test_the_closing_of_a_template_is_the_last_line_after_the_prompt() -> None:
    assert closing_words(TEMPLATE) == "Your answer:"
    assert closing_words("{prompt}") == closing_words("no placeholder") == closing_words("Go on: {prompt}\n") == ""
    # Without a closing nothing is passed over.
    assert restated("Your answer:", DOOR, "lemon yellow") == ""


def test_a_model_is_named_once_where_a_fifth_of_its_texts_restate() -> None:
    def texts(model: str, n_echoes: int) -> pd.DataFrame:
        # Five tests that share one control: six texts, by two scorers, in front of two kinds of control.
        rows = pd.DataFrame(
            {"prompt_id": [f"p{i}" for i in range(5)], "control_id": "c", "sample": 0, "sample_control": 0}
        )
        rows["echo_test"] = ["prompt"] * n_echoes + [""] * (5 - n_echoes)
        rows = rows.assign(model=model, prompt_set="s", text_test="The door", text_control="red", echo_control="")
        return pd.concat([rows, rows])

    (line,) = echo_warnings(pd.concat([texts("many", 2), texts("few", 1)]))
    assert line.startswith("model many: 2 of 6 texts restate")
    # A second text of the control, which meets the same texts of the tests again, is a seventh.
    more = texts("many", 2).assign(sample_control=1)
    (line,) = echo_warnings(pd.concat([texts("many", 2), more]))
    assert line.startswith("model many: 2 of 7 texts restate")
    assert "'The door'" in line
    assert "\n" not in line
