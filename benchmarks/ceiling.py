"""Does ``ceiling_tau`` say how well two corpora of one law and size agree?

    python benchmarks/ceiling.py [--studies 100] [--seed 0]

A study draws a law λ (subjects × groups), and counts from it, c ~ Poisson(λ). The truth is the mean tau-b of two
corpora of that law; every estimate sees c alone. Laws, before they are scaled to the mean count:

    lognormal   exp(0.4 z), z ~ N(0, 1): every pair its own
    prior       exp(0.4 z + 0.8 b_group + 0.7 a_subject): groups that all subjects share, subjects of all sizes
    heavy       exp(z)
    gamma       Gamma(1), that of the model
    unequal     exp(0.1 z) of one half of the subjects, exp(0.8 z) of the other
    ladder      ½ to the power of the group's place, in an order of the subject's own (as in the grammar `conditions`)
    two values  3 with probability .3, else 1: most pairs of groups are exactly tied in the law

"redrawn" redraws the counts from themselves, "halves" takes split halves and the formula of Spearman and Brown on the
correlation sin(π τ / 2) to the whole, "law" the fitted law alone (c beside a corpus drawn from it given c), "ours" is
``ceiling_tau``. Printed are mean error, and standard deviation between studies of ours. The exit status is 1 if the
mean error of ours is beyond .03, and 2.6 Monte-Carlo errors, under one of the first four laws with five groups.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
from leakscope.ground.agreement.ceiling import ceiling_tau
from leakscope.ground.agreement.count_law import draw_means, fit_law
from leakscope.ground.agreement.kendall_tau import mean_tau, redrawn_tau

SHAPES = ((100, 5), (24, 5), (60, 2))
LAWS = ("lognormal", "prior", "heavy", "gamma", "unequal", "ladder", "two values")
PROMISED = LAWS[:4]
MEAN_COUNTS = (3, 10, 30, 100)
REDRAWS = 30
WIDEST = 0.03
ERRORS = 2.6

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


def draw_law(law: str, rng: np.random.Generator, n_subjects: int, n_groups: int) -> Floats:
    """Return λ up to a factor, (subjects, groups)."""
    z, group, subject = (rng.normal(size=size) for size in ((n_subjects, n_groups), (1, n_groups), (n_subjects, 1)))
    if law == "prior":
        return np.exp(0.4 * z + 0.8 * group + 0.7 * subject)
    if law == "gamma":
        return rng.gamma(1, size=z.shape)
    if law == "unequal":
        return np.exp(np.where(np.arange(n_subjects)[:, None] % 2, 0.1, 0.8) * z)
    if law == "ladder":
        return 0.5 ** z.argsort(1).astype(float)
    if law == "two values":
        return np.where(rng.random(z.shape) < 0.3, 3.0, 1.0)
    return np.exp(z * (1.0 if law == "heavy" else 0.4))


def by_halves(counts: Integers, rng: np.random.Generator) -> float:
    """Return the agreement of split halves, stepped up to whole corpora by Spearman and Brown's formula."""
    halves = [rng.binomial(counts, 0.5) for _ in range(REDRAWS)]
    r = np.sin(np.pi / 2 * np.nanmean([mean_tau(half, counts - half) for half in halves]))
    return float(2 / np.pi * np.arcsin(np.clip(2 * r / (1 + r), -1, 1)))


def by_law(counts: Integers, rng: np.random.Generator) -> float:
    """Return the agreement of the counts with those of corpora drawn from the fitted law, given the counts."""
    seen = counts[counts.sum(1) > 0]
    law = fit_law(seen)
    return float(np.nanmean([mean_tau(seen, rng.poisson(draw_means(law, seen, rng))) for _ in range(REDRAWS)]))


def study(law: str, rng: np.random.Generator, shape: tuple[int, int], mean_count: float) -> list[float]:
    """Return the truth and each estimate."""
    means = draw_law(law, rng, *shape)
    means *= mean_count / means.mean()
    counts = rng.poisson(means)
    truth = np.nanmean([mean_tau(rng.poisson(means), rng.poisson(means)) for _ in range(REDRAWS)])
    estimates = redrawn_tau(counts, REDRAWS), by_halves(counts, rng), by_law(counts, rng), ceiling_tau(counts, REDRAWS)
    return [float(truth), *estimates]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    failed = 0
    print("subjects x groups  law         mean count  truth  redrawn  halves    law    ours  sd of ours")  # noqa: T201
    for shape in SHAPES:
        for law in LAWS:
            for mean_count in MEAN_COUNTS:
                rng = np.random.default_rng(arguments.seed)
                found = np.array([study(law, rng, shape, mean_count) for _ in range(arguments.studies)])
                errors = found[:, 1:] - found[:, :1]
                means, sd = errors.mean(0), errors[:, -1].std()
                allowed = WIDEST + ERRORS * sd / np.sqrt(arguments.studies)
                outside = law in PROMISED and shape[1] > 2 and abs(means[-1]) > allowed
                failed += outside
                print(  # noqa: T201
                    f"{shape[0]:8d} x {shape[1]:<6d}  {law:10s}  {mean_count:10d}  {found[:, 0].mean():5.3f}  "
                    f"{means[0]:+7.3f}  {means[1]:+6.3f}  {means[2]:+6.3f}  {means[3]:+6.3f}  {sd:10.3f}"
                    f"{'  <- beyond .03' if outside else ''}",
                    flush=True,
                )
    return int(failed > 0)


if __name__ == "__main__":
    raise SystemExit(main())
