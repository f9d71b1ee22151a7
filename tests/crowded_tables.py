"""Tables of studies of few and of very many models, for the figures of `ground`, `validate` and `features`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations, product

import numpy as np
import pandas as pd

from leakscope.figures.drawing import arranged
from leakscope.figures.fitting import Drawing
from leakscope.figures.registry import FIGURES, Context

AXES = {
    "race": ["Asian", "Black", "Hispanic", "Indigenous", "Pacific Islander", "White"],
    "gender": ["female", "male", "non-binary"],
    "colors": ["black", "blue", "brown", "green", "grey", "orange", "pink", "purple", "red", "white", "yellow"],
}
LANGUAGES = ("en", "zh", "es", "fr")
TASKS = ("hypernymy", "capitals")
CONTRASTS = ("gender", "colors")
KINDS = {"generator": ["complete", "everyday", "dictionary"], "negated": ["complete"], "validator": ["case", "plain"]}
METHODS = ("supervised", "ranking, both directions", "dpo")
COSTS = (1.0, 3.0, 10.0)


def keyed(**keys: Sequence[object]) -> pd.DataFrame:
    """Return a row for each combination of the keys."""
    return pd.DataFrame(list(product(*keys.values())), columns=list(keys))


class Crowd:
    """A study of ``n`` models and dictionaries, every value of it drawn."""

    def __init__(self, n: int, n_others: int = 3) -> None:
        """Draw it; ``n_others``: of axes, tasks, contrasts and costs at most."""
        self.n, self.rng = n, np.random.default_rng(n)
        # What is drawn alike however much there is of it.
        self.n_items, self.methods, self.n_measures = (30, METHODS[:2], 3) if n > 8 else (60, METHODS, 8)
        self.axis_names, self.tasks, self.contrasts, self.costs = (
            [*names][:n_others] for names in (AXES, TASKS, CONTRASTS, COSTS)
        )
        self.models = [f"organism-{number:02d}" if number % 3 else f"llama-3.{number}-8b-chat" for number in range(n)]
        self.labels = {name: f"{name} (λ = {number / n:.2f})" for number, name in enumerate(self.models)}
        # Three seeds an entry, but for the last entry.
        self.dictionaries = [f"layer-{number // 3}.s{number % 3}" for number in range(n)]
        self.families = {name: name.split(".")[0] for name in self.dictionaries}
        self.named = {name: name.replace("layer-", "residual stream, layer ") for name in self.dictionaries}
        self.named |= {name: name.replace("layer-", "residual stream, layer ") for name in self.families.values()}

    @property
    def axes(self) -> list[tuple[str, str]]:
        return [(axis, group) for axis in self.axis_names for group in AXES[axis]]

    def spread(self, table: pd.DataFrame, column: str, low: float, high: float, half: float) -> pd.DataFrame:
        """Add values of a column and their interval, which has no width in the first row and none in the second."""
        values = self.rng.uniform(low, high, len(table))
        halves = half * self.rng.uniform(0.5, 1.5, len(table))
        halves[:1], halves[1:2] = 0.0, np.nan
        return table.assign(**{column: values, "ci_low": values - halves, "ci_high": values + halves})

    def context(self) -> Context:
        sizes = dict(zip(self.models, np.geomspace(1e5, 7e10, self.n).astype(int).tolist(), strict=True))
        bar = {"variance_unexplained": 0.4, "dead_share": 0.6, "cross_entropy_recovered": 0.7}
        return Context(
            self.labels, self.named, sizes, families=self.families, randomised=self.dictionaries[-1:], bar=bar
        )

    def grouped(self, **keys: Sequence[object]) -> pd.DataFrame:
        """Return a row for each combination of the keys with each group of each axis."""
        table = keyed(axes=self.axes, **keys)
        table[["axis", "group"]] = table.pop("axes").tolist()
        return table

    def ground(self, languages: Sequence[str] = LANGUAGES[:1]) -> dict[str, pd.DataFrame]:
        models = {"model": self.models, "language": languages}
        comparisons = ["counts-model", "model-prevalence"]
        taus = keyed(**models, axis=self.axis_names, comparison=comparisons)
        # Nobody knows how prevalent colors are.
        taus = taus[(taus["axis"] != "colors") | (taus["comparison"] == "counts-model")]
        world = keyed(model=[None], language=[None], axis=self.axis_names[:2], comparison=["counts-prevalence"])
        taus = pd.concat([taus, world], ignore_index=True)
        taus = self.spread(taus, "tau", -0.2, 0.9, 0.1)
        beyond = taus["tau"] - 0.2
        taus = taus.assign(
            baseline_tau=0.3, tau_beyond_prior=beyond, beyond_ci_low=beyond - 0.1, beyond_ci_high=beyond + 0.1,
            ceiling_tau=np.where(taus["comparison"] == "counts-model", 0.95, np.nan),
        )  # fmt: skip
        places = self.grouped(**models, template_id=["all"])
        shares = pd.Series(self.rng.dirichlet([1.0], len(places))[:, 0] + self.rng.exponential(1.0, len(places)))
        total = shares.groupby([places[key] for key in ("model", "language", "axis")]).transform("sum")
        places = places.assign(share_first=shares / total, share_last=(shares / total).to_numpy()[::-1])
        last = places.groupby(["model", "language", "axis"])["share_last"]
        places["share_last"] /= last.transform("sum")
        spread = self.grouped(**models, subject=[f"subject {number}" for number in range(4)])
        gaps = self.grouped(subject=[f"subject {number}" for number in range(36)])
        gaps["difference"] = self.rng.normal(0, 0.1, len(gaps))
        gaps["counted"] = self.rng.normal(size=len(gaps))
        ranks = gaps.groupby(["axis", "subject"])[["difference", "counted"]].rank()
        pairs = pd.DataFrame(list(zip(self.models[::2], self.models[1::2], strict=True)), columns=["base", "aligned"])
        return {
            "kendall_tau": taus,
            "first_and_last": places,
            "logprob_differences": self.spread(self.grouped(**models), "difference", -3, 3, 0.3),
            "rank_spread": spread.assign(rank_sd=self.rng.exponential(0.7, len(spread))),
            "window_agreement": self.spread(
                keyed(axis=self.axis_names, unit=["documents"], window=[10.0, 25.0, 50.0, 100.0]), "tau", 0.4, 1.0, 0.05
            ).assign(share_identical=0.5, reference_window=250.0),
            "prevalence_gaps": gaps.assign(
                prevalence_rank=ranks["difference"], count_rank=ranks["counted"],
                among_top=gaps["subject"] < "subject 12", margin_of_error=0.03,
                ci_low=gaps["difference"] - 0.03, ci_high=gaps["difference"] + 0.03,
            ),
            "kendall_tau_by_quartile": self.spread(
                keyed(**models, axis=self.axis_names, quartile=["Q1", "Q2", "Q3", "Q4"]), "tau", 0.0, 0.9, 0.1
            ),
            "aligned_pairs": self.spread(
                pairs.merge(keyed(axis=self.axis_names, language=languages), how="cross"), "tau", 0.2, 1.0, 0.1
            ),
        }  # fmt: skip

    def validate(self) -> dict[str, pd.DataFrame]:
        models = {"model": self.models, "task": self.tasks}
        paired = keyed(**models, item=range(self.n_items))
        positive = paired["item"] % 2 == 0
        shift = paired["model"].map(self.models.index) / self.n
        l_g = self.rng.normal(-8, 3, len(paired)) + 3 * positive
        l_v = shift * l_g + self.rng.normal(0, 2, len(paired))
        curves = keyed(**models, layer=range(13), subset=["all", "positive", "negative"])
        sign = curves["subset"].map({"all": 0.0, "positive": 1.0, "negative": -1.0})
        forms = [(kind, form) for kind, names in KINDS.items() for form in names]
        agreement = keyed(**models, pair=list(combinations(forms, 2)))
        names = [f"{end}_{side}" for side in "ab" for end in ("kind", "form")]
        agreement[names] = [[*a, *b] for a, b in agreement.pop("pair")]
        true_gap = self.rng.uniform(0, 0.8, self.n).round(1)
        closing = keyed(
            base=self.models, method=self.methods, split=["random", "disjoint"], part=["test"], subset=["all"]
        )
        closing = self.spread(closing, "closed", -0.3, 0.9, 0.1)
        closing = closing.rename(columns={"ci_low": "closed_ci_low", "ci_high": "closed_ci_high"})
        after = self.rng.uniform(0.5, 0.9, (2, len(closing)))
        return {
            "paired": paired.assign(positive=positive, l_g=l_g, l_v=l_v),
            "correlations": self.spread(
                keyed(**models, split=["all"], form=["main"], subset=["all", "positive", "negative"],
                      statistic=["pearson"]), "value", -0.3, 0.9, 0.1,
            ),
            "layers": curves.assign(
                l_g=curves["layer"] - 12.0 + sign,
                l_v=sign * curves["layer"] / 3 + self.rng.normal(0, 0.3, len(curves)),
                pearson=np.where(curves["layer"] > 0, self.rng.uniform(-0.2, 0.7, len(curves)), np.nan),
            ),
            "parting": keyed(**models).assign(layer_generator=9, layer_validator=11, layer_parting=7),
            "form_agreement": agreement.assign(style="plain", pearson=self.rng.uniform(-0.5, 1, len(agreement))),
            "truth": self.spread(
                keyed(**models, form=["main"], subset=["all"]), "gap", 0, 0.9, 0.1
            ).assign(true_gap=np.repeat(true_gap, len(self.tasks))),
            "closing": closing.assign(
                validator_accuracy_before=0.7, validator_accuracy_after=after[0], generator_accuracy_before=0.6,
                generator_accuracy_after=after[1], perplexity_rise=self.rng.exponential(8, len(closing)),
            ),
            "lens": keyed(kind=["generator", "validator"], layer=range(32), position=range(12)).assign(
                token=" something", top=" else", probability=self.rng.uniform(0, 1, 2 * 32 * 12)
            ),
        }  # fmt: skip

    def features(self) -> dict[str, pd.DataFrame]:
        cases = {"dictionary": self.dictionaries, "contrast": self.contrasts}
        edits = keyed(**cases, intervention=["features", "difference_in_means"], target_cost=self.costs)
        random = keyed(
            **cases, intervention=["random_features", "random_direction"], target_cost=self.costs, seed=range(3)
        )
        tried = keyed(**cases, intervention=["features"], target_cost=self.costs, tried=range(4))
        effects = pd.concat([keyed(**cases, intervention=["none"]), edits.assign(chosen=True), random, tried])
        effects = self.spread(effects.reset_index(drop=True), "mean_abs_gap", 0.05, 0.5, 0.03)
        items = [f"{word} {number}" for number in range(self.n_items // 6) for word in ("nurse", "plumber", "cook")]
        by_item = pd.concat(
            [keyed(**cases, intervention=["none"], item=items), edits.merge(pd.DataFrame({"item": items}), how="cross")]
        ).reset_index(drop=True)
        by_item["association"] = by_item["item"].map(dict(zip(items, np.linspace(-1, 1, len(items)), strict=True)))
        planted = keyed(model=self.models, contrast=self.contrasts, item=items)
        measures = [
            ("match_rate", "basic_colors · sbert-minilm"),
            ("match_rate", "basic_colors · static-wordllama"),
            ("mean_abs_gap", "gender"),
            ("cost", "gender"),
            ("stereotype_score", "crows_pairs"),
            ("stereotype_score", "stereoset"),
            ("mean_difference", "crows_pairs"),
            ("icat", "stereoset"),
        ]
        edited = keyed(model=self.models, case=measures[: self.n_measures])
        edited[["measure", "subset"]] = edited.pop("case").tolist()
        for when in ("before", "after"):
            edited = self.spread(edited, when, 20, 80, 4)
            edited = edited.rename(columns={"ci_low": f"{when}_ci_low", "ci_high": f"{when}_ci_high"})
        seeds = [(a, b) for a, b in combinations(self.dictionaries, 2) if self.families[a] == self.families[b]]
        agreement = keyed(pair=seeds, feature=range(40))
        agreement[["dictionary", "other"]] = agreement.pop("pair").tolist()
        return {
            "quality": pd.DataFrame({
                "dictionary": self.dictionaries, "variance_unexplained": self.rng.uniform(0, 0.8, self.n),
                "l0": self.rng.uniform(8, 64, self.n), "dead_share": self.rng.uniform(0, 0.9, self.n),
                "cross_entropy_recovered": self.rng.uniform(0.4, 1, self.n),
            }),
            "effects": effects.assign(
                split="evaluation", reached=True, cost=effects["target_cost"] * 0.9,
                ci_low=effects["ci_low"].where(effects["chosen"].eq(True)),
                ci_high=effects["ci_high"].where(effects["chosen"].eq(True)),
            ),
            "effects_by_item": by_item.assign(
                split="evaluation", gap=by_item["association"] * self.rng.uniform(0, 1, len(by_item))
            ),
            "seed_agreement": agreement.assign(cosine=self.rng.beta(3, 1, len(agreement))),
            "truth": planted.assign(
                true_gap=self.rng.uniform(-0.9, 0.9, len(planted)), gap=self.rng.uniform(-0.9, 0.9, len(planted))
            ),
            "edited": edited.assign(base="base"),
        }  # fmt: skip

    def of_dictionaries(self) -> dict[str, pd.DataFrame]:
        """Return dictionary → the table of its features."""
        dead = np.arange(64) % 4 == 0
        return {
            name: pd.DataFrame({
                "feature": np.arange(64), "dead": dead,
                "log10_rate": np.where(dead, -10.0, self.rng.normal(-2.5, 0.4, 64)),
                "effective_tokens": np.where(dead, np.nan, self.rng.lognormal(3, 1, 64)),
                "detection_local": np.where(dead, np.nan, self.rng.uniform(0.4, 1, 64)),
                "detection_judge": np.where(dead, np.nan, self.rng.uniform(0.4, 1, 64)),
            })
            for name in self.dictionaries
        }  # fmt: skip

    def figures(self) -> dict[tuple[str, str], dict[str, pd.DataFrame]]:
        """Return step and figure → its tables."""
        steps = {"ground": self.ground(), "validate": self.validate(), "features": self.features()}
        found = {}
        for step, tables in steps.items():
            for name in FIGURES[step]:
                own = self.of_dictionaries() if name in OF_FEATURES else None
                found[step, name] = own or {table: tables[table] for table in TABLES.get(name, [name])}
        return found | {("ground", "tau_by_language"): {"kendall_tau": self.ground(LANGUAGES)["kendall_tau"]}}

    def drawn(self, step: str, name: str, tables: Mapping[str, pd.DataFrame]) -> Drawing:
        """Draw a figure as the workflow does."""
        kind, context = FIGURES[step][name], self.context()
        context = context._replace(labels=context.dictionaries) if kind.of_dictionaries else context
        return arranged(kind, tables, context)


OF_FEATURES = ("firing_density", "polysemanticity")
# figure → its tables, in this order, where these are not one of the figure's own name
TABLES: Mapping[str, Sequence[str]] = {
    "first_places": ["first_and_last"],
    "template_spread": ["rank_spread"],
    "tau_by_size": ["kendall_tau_by_quartile"],
    "tau_by_language": ["kendall_tau"],
    "aligned_pairs": ["aligned_pairs", "first_and_last"],
    "log_odds_density": ["paired"],
    "log_odds_by_layer": ["layers", "parting"],
    "lens_heatmap": ["lens"],
}
