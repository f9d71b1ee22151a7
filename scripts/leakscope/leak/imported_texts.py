"""What models wrote elsewhere, from a table that a person brings or a log of another tool, joined to prompts.

Long form: a row for each text, with the id of its prompt and the number of its sample. Wide form: a row for each
prompt, its texts in ``generation_1..k``, joined by id, or by row where there is none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence, Set
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from leakscope.errors import InputError, Mistakes, counted
from leakscope.files.tables import BEGINNING, read_first_rows, read_table
from leakscope.leak.cells import (
    MOST_DIGITS,
    SHOWN,
    at,
    other_columns,
    read_id,
    some,
    strip,
    whole,
    whole_number,
    with_known_columns,
)
from leakscope.leak.exchange.logged_texts import LoggedText, logged_table
from leakscope.leak.exchange.read_inspect import is_inspect, read_inspect
from leakscope.leak.exchange.read_lm_eval import is_lm_eval, read_lm_eval
from leakscope.leak.pairs import is_made

LONG_TEXTS = ("prompt_id", "sample", "text")
GENERATION_COLUMNS = ["model", "prompt_set", "prompt_id", "sample", "text"]
KNOWN = (*LONG_TEXTS, "model", "prompt_set", "prompt", "n_control", "control_id")
# What other tools call a text.
OTHERS = dict.fromkeys(("completion", "generation", "generated_text", "output", "response", "continuation"), "text")
# From this share of texts on that begin with their prompt, all of them are taken to.
ECHOED = 0.5
# Of a prompt that a text holds behind something else.
FEWEST_WORDS = 4

_GENERATION = re.compile(rf"generation_[0-9]{{1,{MOST_DIGITS}}}")


class Imported(NamedTuple):
    """Generations (one row each) and what a person should know about how they were joined."""

    generations: pd.DataFrame
    warnings: list[str]


class _Found(NamedTuple):
    """The id of every row, and beside it its texts by sample."""

    ids: list[str]
    samples: list[dict[int, str]]


def import_generations(
    path: Path,
    prompts: pd.DataFrame,
    model: str,
    prompt_set: str,
    samples: int | None,
    prompts_path: Path,
    sheet: str | None = None,
    *,
    control_samples: int | None = None,
    strip_prompt: bool = False,
) -> Imported:
    """Return what a table, or a log of lm-eval or inspect_ai, holds after each prompt, in the order of the prompts.

    Texts are exactly as written. A log is known by its form, and joined by ``prompt_id`` or by the prompts' words.

    Of a long table with a column ``model`` or ``prompt_set`` only the rows of these names are read. Samples may be
    counted from 1. An empty cell of the wide form, or ``null``, is a missing text; an empty text of the long form is
    one that a model wrote. Prompts that were made as partners (``leak.partners``) may be left out.

    Args:
        prompts: as ``import_prompts`` or ``build_prompts`` returns them.
        model: what the column ``model`` calls it.
        samples: how many samples of each prompt to keep, the first ones; all if None.
        control_samples: likewise of controls without the clause; if None as many, or all where ``samples`` is None.
            They may have a multiple of the samples of other prompts.
        prompts_path: where the prompts come from, for messages.
        strip_prompt: whether a text that begins with its prompt is read without it.

    Raises:
        InputError: a column, prompt or sample is missing or stands twice, rows are of other prompts, or texts begin
            with their prompts: all mistakes, one line each, rows counted as a spreadsheet does.
    """
    log = read_log(path)
    if log is not None:
        table, left_out = logged_table(log, prompts, path, prompts_path)
    else:
        table, left_out = with_known_columns(read_table(path, sheet), KNOWN, OTHERS), None
    found, made = Mistakes(), is_made(prompts)
    join_by, wide = _form(table, path)
    if join_by == "sample":
        table = _only(_only(table, "model", model, path), "prompt_set", prompt_set, path)
        read = _long_texts(table, path, found)
    elif join_by == "prompt_id":
        read = _Found(_by_id(table, path, found), _wide_texts(table, wide, path, found))
    else:
        own = prompts if len(table) == len(prompts) else prompts[~made]
        read = _Found(_by_prompt(table, own, path, prompts_path), _wide_texts(table, wide, path, found))
    found.end()
    wanted = prompts["prompt_id"][~made | prompts["prompt_id"].isin(read.ids)]
    kept = _kept_samples(read, list(wanted), set(prompts["control_id"].dropna()), (samples, control_samples), path)
    kept, echoes = _continuations(kept, prompts, path, strip=strip_prompt)
    rows = [(model, prompt_set, prompt_id, k, text) for prompt_id, row in kept.items() for k, text in enumerate(row)]
    generations = pd.DataFrame(rows, columns=GENERATION_COLUMNS)
    generations = generations.astype({name: "int64" if name == "sample" else "str" for name in GENERATION_COLUMNS})
    unknown, differing = (about(read.ids, table, prompts, path, prompts_path) for about in (_unknown, _differing))
    return Imported(generations, [warning for warning in (left_out, unknown, differing, echoes) if warning])


def check_texts(path: Path, sheet: str | None = None, *, rows: int) -> None:
    """Look at a table of texts before anything else is done: at its columns, and at its first rows.

    A large one that can be read as a whole alone is left to ``import_generations``; so is a large log.

    Raises:
        InputError: what ``import_generations`` would find there, of each row by itself.
    """
    if path.is_file() and path.stat().st_size <= BEGINNING and read_log(path) is not None:
        return
    beginning = read_first_rows(path, rows, sheet)
    if beginning is None:
        return
    table = with_known_columns(beginning, KNOWN, OTHERS)
    found = Mistakes()
    join_by, wide = _form(table, path)
    if join_by == "sample":
        # Those of one model and prompt set have their samples once; which are meant is not known of the first rows.
        keys = [name for name in ("model", "prompt_set") if name in table]
        for _, some_rows in table.groupby(keys, sort=False) if keys else [((), table)]:
            _long_texts(some_rows, path, found)
    else:
        _wide_texts(table, wide, path, found)
    if join_by == "prompt_id":
        _by_id(table, path, found)
    found.end()


def read_log(path: Path) -> list[LoggedText] | None:
    """Return what a log of lm-eval or inspect_ai says, known by its form; None where the file is none, but a table.

    Raises:
        InputError: the log is damaged, or has no texts.
    """
    reads = {is_lm_eval: read_lm_eval, is_inspect: read_inspect}
    return next((read(path) for is_such, read in reads.items() if is_such(path)), None)


def _form(table: pd.DataFrame, path: Path) -> tuple[str, list[str]]:
    """Return the column that rows are joined by with prompts, or ``sample`` in the long form, and columns of texts."""
    columns = {str(name) for name in table}
    wide = sorted(filter(_GENERATION.fullmatch, columns), key=lambda name: int(name.removeprefix("generation_")))
    if columns.issuperset(LONG_TEXTS):
        return "sample", ["text"]
    if wide and "prompt_id" in columns and ("n_control" not in columns or "control_id" in columns):
        return "prompt_id", wide
    if wide and "prompt" in columns:
        return "prompt", wide
    allowed = f"{', '.join(LONG_TEXTS)} (long form) or generation_1, generation_2, ... with prompt_id or prompt"
    raise other_columns(path, table, allowed, (*KNOWN, "generation_1"))


def _only(table: pd.DataFrame, column: str, name: str, path: Path) -> pd.DataFrame:
    if column not in table:
        return table
    kept = table[table[column].map(strip) == name]
    if kept.empty:
        advice = f"{name}, or what it is called there, by the model's key `called`" if column == "model" else name
        raise InputError(f"{path}: column {column!r}: got {some(table[column].unique())}; allowed: {advice}.")
    return kept


def _long_texts(table: pd.DataFrame, path: Path, found: Mistakes) -> _Found:
    ids = [read_id(value) for value in table["prompt_id"]]
    numbers = [whole(strip(value)) for value in table["sample"]]
    missing = table.attrs.get("missing", frozenset())
    _refuse_no_ids(ids, table, path, found)
    seen: dict[tuple[str, str], int] = {}
    for row, key in zip(table.index, zip(ids, numbers, strict=True), strict=True):
        first = seen.setdefault(key, row)
        if not key[0]:
            continue
        if whole_number(key[1]) is None:
            found.append(InputError(f"{at(path, row)}: sample: got {key[1]!r}; allowed: a whole number from 0."))
        elif first != row:
            twice = f"sample {key[1]} of prompt {key[0]!r} twice (row {first} has it already)"
            found.append(InputError(f"{at(path, row)}: got {twice}; allowed: each once."))
        if (row, "text") in missing:
            found.append(InputError(f'{at(path, row)}: text: got null; allowed: a text; an empty one is "".'))
    whole_numbers = [whole_number(number) or 0 for number in numbers]
    from_1 = min(whole_numbers, default=0) == 1
    return _Found(ids, [{number - from_1: text} for number, text in zip(whole_numbers, table["text"], strict=True)])


def _wide_texts(table: pd.DataFrame, columns: list[str], path: Path, found: Mistakes) -> list[dict[int, str]]:
    for row, cells in zip(table.index, table[columns].to_numpy().tolist(), strict=True):
        for name, text in zip(columns, cells, strict=True):
            if not text:
                allowed = f"a text; an empty one is written in the long form ({', '.join(LONG_TEXTS)})"
                found.append(InputError(f"{at(path, row)}: {name}: got nothing; allowed: {allowed}."))
    return [dict(enumerate(row)) for row in table[columns].to_numpy().tolist()]


def _letters(text: str) -> str:
    """Return a text by which copies are known that differ in white space, case or signs."""
    return re.sub(r"\W+", "", text.casefold())


def _by_prompt(table: pd.DataFrame, prompts: pd.DataFrame, path: Path, prompts_path: Path) -> list[str]:
    """Return the id of each row's prompt: of the one in its place, or where rows are in another order, of its text."""
    ids, texts = list(map(str, prompts["prompt_id"])), list(prompts["prompt"])
    given = list(table["prompt"])
    by_text = dict(zip(texts, ids, strict=True))
    differing = [place for place, pair in enumerate(zip(given, texts, strict=False)) if pair[0] != pair[1]]
    if len(given) == len(texts) and not any(given[place] in by_text for place in differing):
        if all(_letters(one) != _letters(other) for one, other in zip(given, texts, strict=True)):
            raise InputError(f"{path}: got no prompt of {prompts_path}; allowed: its prompts, in any order.")
        return ids
    strangers = [text for text in given if text not in by_text]
    if not strangers and len(set(given)) == len(given) and len(by_text) == len(texts):
        return [by_text[text] for text in given]
    if len(given) != len(texts):
        allowed = f"{len(texts)}, as in {prompts_path} (they are joined by row), or each of its prompts once"
        raise InputError(f"{path}: got {counted(len(given), 'row', 'rows')}; allowed: {allowed}.")
    place = next(place for place in differing if given[place] in by_text)
    raise InputError(
        f"{at(path, table.index[place])}: prompt: got {given[place]!r}, which is in another row of {prompts_path}; "
        "allowed: rows in that table's order, or a column prompt_id in both tables."
    )


def _refuse_no_ids(ids: Sequence[str], table: pd.DataFrame, path: Path, found: Mistakes) -> None:
    """Refuse rows without an id: cells that were merged in a spreadsheet lose all ids but the first."""
    for row, prompt_id in zip(table.index, ids, strict=True):
        if not prompt_id:
            found.append(InputError(f"{at(path, row)}: prompt_id: got ''; allowed: an id."))


def _by_id(table: pd.DataFrame, path: Path, found: Mistakes) -> list[str]:
    ids = [read_id(value) for value in table["prompt_id"]]
    _refuse_no_ids(ids, table, path, found)
    seen = {""}
    for row, prompt_id in zip(table.index, ids, strict=True):
        if prompt_id in seen and prompt_id:
            found.append(InputError(f"{at(path, row)}: prompt_id: got {prompt_id!r} twice; allowed: each id once."))
        seen.add(prompt_id)
    return ids


def _kept_samples(
    read: _Found, wanted: Sequence[str], controls: Set[str], asked: tuple[int | None, int | None], path: Path
) -> dict[str, list[str]]:
    """Return the texts of every wanted prompt, samples 0 to k − 1: k is the same for all, or for all but controls.

    Args:
        controls: the prompts that are controls without the clause.
        asked: how many samples, and how many of controls; None: see ``import_generations``.
    """
    by_prompt: dict[str, dict[int, str]] = {}
    for prompt_id, few in zip(*read, strict=True):
        by_prompt.setdefault(prompt_id, {}).update(few)
    missing = [prompt_id for prompt_id in wanted if prompt_id not in by_prompt]
    if missing:
        listed = some(map(repr, missing))
        prompts = counted(len(missing), "prompt", "prompts")
        raise InputError(f"{path}: got no text for {prompts} ({listed}); allowed: a text for every prompt.")
    numbers = {prompt_id: len(by_prompt[prompt_id]) for prompt_id in wanted}
    # Where every prompt is the control of another, all are alike.
    k = asked[0] or max([n for name, n in numbers.items() if name not in controls] or numbers.values())
    of_control = asked[1] or asked[0] or max(k, *numbers.values())
    if of_control % k:
        found = f"{of_control} samples after controls without the clause, {k} after other prompts"
        raise InputError(f"{path}: got {found}; allowed: a multiple of {k} after every control without the clause.")
    first = {prompt_id: range(of_control if prompt_id in controls else k) for prompt_id in wanted}
    absent = {name: next((i for i in first[name] if i not in by_prompt[name]), None) for name in wanted}
    lacking = [f"{prompt_id!r} lacks number {i}" for prompt_id, i in absent.items() if i is not None]
    if lacking:
        all_of = counted(k, "sample", "samples") if of_control == k else "samples"
        prompts = counted(len(lacking), f"prompt without all of its {all_of}", f"prompts without all of their {all_of}")
        allowed = f"samples 0 to {k - 1} of every prompt"
        if of_control > k:
            allowed += f", 0 to {of_control - 1} of every control without the clause"
        raise InputError(f"{path}: got {prompts} ({some(lacking)}); allowed: {allowed}.")
    return {prompt_id: [by_prompt[prompt_id][i] for i in samples] for prompt_id, samples in first.items()}


def _continuations(
    kept: dict[str, list[str]], prompts: pd.DataFrame, path: Path, *, strip: bool
) -> tuple[dict[str, list[str]], str | None]:
    """Return texts without their prompts, where that is asked for; refuse texts that would be compared with these."""
    own = {prompt_id: text.strip() for prompt_id, text in zip(prompts["prompt_id"], prompts["prompt"], strict=True)}
    places = {prompt_id: [_place(text, own[prompt_id]) for text in row] for prompt_id, row in kept.items()}
    n_texts = sum(map(len, kept.values()))
    holding = [prompt_id for prompt_id, row in places.items() for place in row if place >= 0]
    behind = [
        prompt_id
        for prompt_id, row in kept.items()
        for text, place in zip(row, places[prompt_id], strict=True)
        if place >= 0 and text[:place].strip()
    ]
    if not holding:
        return kept, None
    if strip:
        continued = {
            prompt_id: [
                text[place + len(own[prompt_id]) :] if place >= 0 else text
                for text, place in zip(row, places[prompt_id], strict=True)
            ]
            for prompt_id, row in kept.items()
        }
        return continued, None
    words = "texts that begins with its prompt", "texts that begin with their prompt"
    if len(behind) > len(holding) / 2:
        words = "texts that holds its prompt", "texts that hold their prompt, behind something else"
    found = f"{counted(len(holding), *words, of=n_texts)} (of {some(dict.fromkeys(holding))})"
    if len(holding) >= ECHOED * n_texts:
        allowed = "texts without their prompts, or `strip_prompt: true` for the model in the study"
        raise InputError(f"{path}: got {found}, so the prompt would count as the model's text; allowed: {allowed}.")
    return kept, f"{path}: got {found}; `strip_prompt: true` for the model reads them without it."


def _place(text: str, prompt: str) -> int:
    """Return where a text holds the prompt, in whatever case, −1 if nowhere: a prompt of a few words may be chance."""
    found = re.search(re.escape(prompt), text, flags=re.IGNORECASE)
    by_chance = found is not None and bool(text[: found.start()].strip()) and len(prompt.split()) < FEWEST_WORDS
    return -1 if found is None or by_chance else found.start()


def _unknown(
    found: Sequence[str], table: pd.DataFrame, prompts: pd.DataFrame, path: Path, prompts_path: Path
) -> str | None:
    unknown = list(dict.fromkeys(found).keys() - set(prompts["prompt_id"]))
    if not unknown:
        return None
    listed = some(map(repr, sorted(unknown)))
    ids, were = counted(len(unknown), "prompt id", "prompt ids"), "was" if len(unknown) == 1 else "were"
    return f"{path}: {ids} that {prompts_path} does not have {were} left out ({listed})."


def _differing(
    found: Iterable[str], table: pd.DataFrame, prompts: pd.DataFrame, path: Path, prompts_path: Path
) -> str | None:
    """Return one line on the rows whose prompt is not, letter by letter, the prompt that they are joined to."""
    if "prompt" not in table:
        return None
    known = dict(zip(prompts["prompt_id"], prompts["prompt"], strict=True))
    differing = [
        f"row {row}: {text!r}, not {known[prompt_id]!r}"
        for row, prompt_id, text in zip(table.index, found, table["prompt"], strict=True)
        if known.get(prompt_id, text) != text
    ]
    if not differing:
        return None
    more = f"; and {len(differing) - SHOWN} more" if len(differing) > SHOWN else ""
    shown = "; ".join(differing[:SHOWN])
    have = counted(len(differing), "rows has", "rows have", of=len(table))
    return f"{path}: {have} another prompt than {prompts_path}: {shown}{more}."
