"""The prompts that a mitigation may be made from, as a model reads them: tests of the selection split, and controls."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from leakscope.errors import InputError
from leakscope.models.prompts.prompting import read_prompts
from leakscope.trace.layers.swaps import shared_ends
from leakscope.trace.removal.columns import SELECTION
from leakscope.trace.removal.variants import Setting

Ids = list[int]


class Selected(NamedTuple):
    """Tests with their controls.

    tests: the rows of the selection split.
    rendered, ids: of each test, its text and its tokens.
    controls: tokens of each control, once.
    control_of: of each test, the number of its control.
    """

    tests: pd.DataFrame
    rendered: list[str]
    ids: list[Ids]
    controls: list[Ids]
    control_of: list[int]

    def concept_places(self) -> list[range]:
        """Return the places of each test's concept: of the tokens that vary between the tests of its template.

        Of a template with a single test they are the tokens that are not its control's.
        """
        templates: dict[str, list[int]] = {}
        for number, template in enumerate(self.tests["template_id"]):
            templates.setdefault(template, []).append(number)
        places = {}
        for numbers in templates.values():
            alone = [self.controls[self.control_of[numbers[0]]]] if len(numbers) == 1 else []
            n_before, n_after = shared_ends([self.ids[number] for number in numbers] + alone)
            places.update({number: range(n_before, len(self.ids[number]) - n_after) for number in numbers})
        return [places[number] for number in range(len(self.ids))]


def selected_prompts(setting: Setting) -> Selected:
    """Return the tests of the selection split and their controls.

    Raises:
        InputError: there are none, or as ``prompting.read_prompts``.
    """
    tests, _ = setting.items.of(SELECTION)
    if tests.empty:
        found = f"got no test prompt of {len(setting.items.tests)} in the selection split"
        raise InputError(f"mitigations of {setting.name}: {found}; allowed: at least one, with its control.")
    wanted = setting.items.controls["prompt_id"].isin(set(tests["control_id"]))
    controls = setting.items.controls[wanted].drop_duplicates("prompt_id")
    number = {name: place for place, name in enumerate(controls["prompt_id"])}
    rendered, ids = read_prompts(setting.model, tests["prompt"], setting.prompting)
    _, of_controls = read_prompts(setting.model, controls["prompt"], setting.prompting)
    return Selected(tests, rendered, ids, of_controls, [number[name] for name in tests["control_id"]])
