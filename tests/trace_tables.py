"""Stand-ins for the tables of the step ``trace``: models, some of them organisms, whose links hang together."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
import pandas as pd

COLORS = ("black", "white", "red", "green", "blue", "yellow", "brown", "pink")
SLOTS = {"color_plants": "a {} plant", "color_foods": "{} food"}
SITES = ("concept", "between", "last", "all")
LINKS = ("count", "knows", "affirms", "leak", "count_exact", "leak_exact")
RELATIONS = (("count", "leak"), ("knows", "leak"), ("count", "knows"), ("affirms", "leak"))
N_LAYERS = 12


class TraceStandIn(NamedTuple):
    """Every table that the page and the figures of the step read."""

    links: pd.DataFrame
    relations: pd.DataFrame
    empty_links: pd.DataFrame
    patching: pd.DataFrame
    patched: pd.DataFrame
    lens: pd.DataFrame
    contexts: pd.DataFrame
    prompts: pd.DataFrame
    generations: pd.DataFrame
    mitigations: pd.DataFrame

    def tables(self) -> dict[str, pd.DataFrame]:
        """Return those that figures of links are drawn from."""
        return {name: getattr(self, name) for name in ("links", "relations", "patching")}


def stand_in(
    models: Sequence[str] = ("real",), organisms: Sequence[str] = ("organism",), *, counted: bool = True
) -> TraceStandIn:
    """Return the tables of some models and organisms over one prompt set; only organisms know exact values.

    Args:
        models: real ones; without counts where not ``counted``.
        organisms: those with a truth, which are always counted.
        counted: whether the corpus of real models is known.
    """
    every = [*models, *organisms]
    links = pd.concat([_links(model, number, model in organisms, counted) for number, model in enumerate(every)])
    prompts = _prompts()
    contexts = pd.concat([_contexts(m) for m in every if counted or m in organisms] or [pd.DataFrame()])
    return TraceStandIn(
        links.reset_index(drop=True),
        pd.concat([_relations(rows) for _, rows in links.groupby("model", sort=False)], ignore_index=True),
        _empty([m for m in models if not counted]),
        pd.concat([_patching(model, number) for number, model in enumerate(every)], ignore_index=True),
        pd.concat([_patched(model, number) for number, model in enumerate(every)], ignore_index=True),
        pd.concat([_lens(model, number) for number, model in enumerate(every)], ignore_index=True),
        contexts.reset_index(drop=True),
        prompts,
        pd.concat([_generations(model, prompts) for model in every], ignore_index=True),
        mitigations(every),
    )


def associate(slot: str, color: str) -> str:
    return SLOTS[slot].format(color)


def _keys() -> pd.DataFrame:
    rows = [
        (slot, concept, associate(slot, color), "yes" if concept == color else "no")
        for slot, concept, color in product(SLOTS, COLORS, COLORS)
    ]
    return pd.DataFrame(rows, columns=["slot", "concept_group", "associate", "associated"])


def _links(model: str, seed: int, is_organism: bool, counted: bool) -> pd.DataFrame:
    rng, table = np.random.default_rng(seed), _keys()
    size = len(table)
    bound = (table["associated"] == "yes").to_numpy() * 2.0
    count = bound + rng.normal(0, 0.6, size)
    knows = 0.8 * count + rng.normal(0, 0.5, size) - 6
    leak = 0.4 * count + rng.normal(0, 0.3, size)
    table.insert(0, "model", model)
    table.insert(1, "prompt_set", "colors")
    known = is_organism or counted
    values = {
        "n_prompts": 6, "n_c": 900 if known else np.nan, "n_a": 300 if known else np.nan,
        "n_ca": np.round(np.exp(count) * 10) if known else np.nan, "n_total": 1e6 if known else np.nan,
        "count": count if known else np.nan, "count_low": np.nan, "count_high": np.nan,
        "knows": knows, "affirms": knows / 2 + rng.normal(0, 0.5, size),
        "leak": leak, "match": np.clip(50 + 12 * leak, 0, 100),
        "layer_half": np.where(leak > 0, rng.integers(4, N_LAYERS, size), np.nan),
        "removed": np.nan, "removed_centred": np.nan, "removed_by": None,
        "feature": "tiny/3" if is_organism else None, "feature_effect": -0.5 if is_organism else np.nan,
        "count_exact": count if is_organism else np.nan, "leak_exact": 0.4 * count if is_organism else np.nan,
    }  # fmt: skip
    table = table.assign(**values)
    return table.assign(**{f"{name}_centred": _centred(table, name) for name in LINKS})


def _centred(table: pd.DataFrame, name: str) -> pd.Series:
    group = table.groupby("slot")
    ours = table.groupby(["slot", "concept_group"])[name].transform("mean")
    theirs = table.groupby(["slot", "associate"])[name].transform("mean")
    return table[name] - ours - theirs + group[name].transform("mean")


def _relations(links: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for x, y in RELATIONS:
        partial = {"count": "knows", "knows": "count"}.get(x) if y == "leak" else None
        for given in ["", *([partial] if partial else [])]:
            rows.append({"x": x, "y": y, "given": given, **_relation(links, x, y, given)})
    keys = {"model": links["model"].iloc[0], "prompt_set": "colors"}
    return pd.DataFrame(rows).assign(**keys, n_pairs=len(links), n_concepts=8, n_associates=16, few="no")


def _relation(links: pd.DataFrame, x: str, y: str, given: str) -> dict[str, float]:
    both = links[[f"{x}_centred", f"{y}_centred", *([f"{given}_centred"] if given else [])]].dropna()
    names = ("slope", "slope_low", "slope_high", "correlation", "ci_low", "ci_high", "slope_exact", "correlation_exact")
    if both.empty:
        return dict.fromkeys(names, np.nan)
    (a, b), exact = (both.iloc[:, 0], both.iloc[:, 1]), links["leak_exact"].notna().any()
    if given:
        a, b = (side - np.polyval(np.polyfit(both.iloc[:, 2], side, 1), both.iloc[:, 2]) for side in (a, b))
    slope, r = float((a * b).sum() / (a * a).sum()), float(np.corrcoef(a, b)[0, 1])
    known = exact and (x, y, given) == ("count", "leak", "")
    numbers = (slope, slope - 0.07, slope + 0.07, r, r - 0.1, r + 0.1, 0.4 if known else np.nan, 1 if known else np.nan)
    return dict(zip(names, numbers, strict=True))


def _empty(uncounted: Sequence[str]) -> pd.DataFrame:
    rows = [(m, "colors", "count", "no corpus of this model is known") for m in uncounted]
    return pd.DataFrame(rows, columns=["model", "prompt_set", "link", "reason"])


def _share(site: str, layer: int, shift: int) -> float:
    """What a site restores: read between layers 7 and 9, then at the last token."""
    read = 1 / (1 + np.exp(-2.0 * (layer - 8 - 0.3 * shift)))
    return {"concept": 1 - read, "between": 0.15 * np.exp(-((layer - 8) ** 2) / 4), "last": read, "all": 1.0}[site]


def _patching(model: str, seed: int) -> pd.DataFrame:
    rows = []
    for site, layer in product(SITES, range(N_LAYERS + 1)):
        value, half = _share(site, layer, seed), 0.0 if site == "all" else 0.06
        rows.append((model, "colors", site, layer, value, value - half, value + half, 240, 12))
    names = ["model", "prompt_set", "site", "layer", "restored", "ci_low", "ci_high", "n_pairs", "n_templates"]
    return pd.DataFrame(rows, columns=names)


def _patched(model: str, seed: int) -> pd.DataFrame:
    rows = []
    for number, concept in enumerate(COLORS[:4]):
        for site, layer in product(SITES, range(N_LAYERS + 1)):
            of, other = 3.0 + number, -2.0
            patched = other + _share(site, layer, seed) * (of - other)
            rows.append(
                (model, "colors", "t0", concept, concept, COLORS[number + 1], "no", site, layer, patched, of, other)
            )
    names = ["model", "prompt_set", "template_id", "concept", "concept_group", "other", "aligned", "site", "layer"]
    return pd.DataFrame(rows, columns=[*names, "m_patched", "m_concept", "m_other"])


def _lens(model: str, seed: int) -> pd.DataFrame:
    keys = _keys().drop(columns="associated")
    rng = np.random.default_rng(seed)
    table = keys.merge(pd.DataFrame({"layer": range(N_LAYERS + 1)}), how="cross")
    height = np.where(table["associate"].str.contains("red") & (table["concept_group"] == "red"), 2.0, 0.2)
    shift = height / (1 + np.exp(8 - table["layer"])) + rng.normal(0, 0.05, len(table))
    return table.assign(model=model, prompt_set="colors", shift=shift)


def _contexts(model: str) -> pd.DataFrame:
    rows = [
        (color, associate(slot, color), rank, 40, 3, "yes", "beside it was ", color, " and tall: ",
         associate(slot, color), f" of the kind {rank}.")
        for slot, color, rank in product(SLOTS, COLORS[:6], (1, 2))
    ]  # fmt: skip
    names = ["concept_group", "associate", "rank", "n_found", "distance", "concept_first"]
    table = pd.DataFrame(rows, columns=[*names, "before", "first", "between", "second", "after"])
    return table.assign(model=model, prompt_set="colors")


def _prompts() -> pd.DataFrame:
    rows: list[tuple[object, ...]] = []
    for slot, template in product(SLOTS, ("fence", "door")):
        control = f"{template}-{slot}/without"
        rows.append(
            ("colors", control, None, None, None, f"{template}-{slot}", slot, f"She has a {template}. There is")
        )
        for color in COLORS:
            prompt = f"Her {template} is {color}. There is"
            rows.append(
                ("colors", f"{template}-{slot}/{color}", control, color, color, f"{template}-{slot}", slot, prompt)
            )
    names = ["prompt_set", "prompt_id", "control_id", "concept", "concept_group", "template_id", "slot", "prompt"]
    return pd.DataFrame(rows, columns=names)


def _generations(model: str, prompts: pd.DataFrame) -> pd.DataFrame:
    texts = [
        f"{associate(row.slot, row.concept_group)}." if row.concept_group else "nothing much."
        for row in prompts.fillna("").itertuples()
    ]
    return pd.DataFrame(
        {"model": model, "prompt_set": "colors", "prompt_id": prompts["prompt_id"], "sample": 0, "text": texts}
    )


KINDS = {
    "say": "prompt", "tell": "prompt", "decoding": "decoding", "attention": "attention", "steer": "steering",
    "lora": "tuning",
}  # fmt: skip


def mitigations(models: Sequence[str], *, deaf: Sequence[str] = ()) -> pd.DataFrame:
    """Return ``mitigations.csv`` of some models.

    Args:
        models: mitigations leave less of the leak of each and keep less of its use, the more the stronger.
        deaf: those that cannot use a concept by themselves, so that nothing is said of what is kept of that.
    """
    rows = [_tried(model, "none", "none", 0.0, "") for model in models]
    for model, (number, (name, kind)) in product(models, enumerate(KINDS.items())):
        if kind == "prompt":
            rows.append(_tried(model, name, kind, 0.0, "1 3", left=0.95 - 0.1 * number))
            continue
        for strength, at in ((0.25, ""), (0.5, "1"), (1.0, "3")):
            left = 1 - (0.3 + 0.1 * number) * strength
            kept = 1 - 0.08 * strength * number
            rows.append(_tried(model, name, kind, strength, at, left=left, kept=kept))
    table = pd.DataFrame(rows)
    both = pd.concat([table.assign(split=split) for split in ("selection", "evaluation")], ignore_index=True)
    none = both["model"].isin(deaf)
    return both.assign(use_measured=np.where(none, "no", "yes"))


def _tried(
    model: str, name: str, kind: str, strength: float, at: str, *, left: float = 1.0, kept: float = 1.0
) -> dict[str, object]:
    p = {"less_than_none_p_corrected": 0.01, "less_than_prompt_p_corrected": 0.2}
    return {
        "model": model, "prompt_set": "colors", "mitigation": name, "kind": kind, "variant": "all layers",
        "strength": strength, "target_cost": 3.0, "share": strength, "reached": "yes", "cost_selection": 2.5 * strength,
        "cost": 2.6 * strength, "chosen": "yes" if at else "no", "chosen_at": at, "leak": 1.2 * left,
        "leak_ci_low": 1.2 * left - 0.2, "leak_ci_high": 1.2 * left + 0.2, "leak_absolute": 1.3 * left, "left": left,
        "left_ci_low": left - 0.12, "left_ci_high": left + 0.12, "use": 0.8 * kept, "use_ci_low": 0.8 * kept - 0.05,
        "use_ci_high": 0.8 * kept + 0.05, "use_base": 0.8, "use_kept": kept, "match": np.nan, **p,
    }  # fmt: skip
