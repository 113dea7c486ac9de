"""Paired tests of the differences between methods, over patients, corrected for the number of tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from components.evidence.averaging import Values, gains, interval, mean
from components.handover.sr_rows import Comparison, SampleScore

MEASURES = ("psnr_db", "ssim")


def compare(rows: Sequence[SampleScore], opponents: Mapping[str, str], samples: int, seed: int) -> list[Comparison]:
    """Every method against each of `opponents` (role: method), by each of `MEASURES`.

    `rows` hold every method on the same images in the same order. Holm's correction is over all methods under one
    measure and one opponent.
    """
    comparisons = []
    for measure in MEASURES:
        for role, opponent in opponents.items():
            methods = [method for method in dict.fromkeys(row.method for row in rows) if method != opponent]
            family = [_against(rows, measure, method, role, opponent, samples, seed) for method in methods]
            comparisons += _corrected(family)
    return comparisons


def holm(p: Sequence[float]) -> list[float]:
    """`p` after Holm's step-down correction, in the same order (Scandinavian Journal of Statistics 6, 1979)."""
    order = np.argsort(p, kind="stable")
    raised = np.asarray(p, float)[order] * np.arange(len(p), 0, -1)
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(np.maximum.accumulate(raised), 1.0)
    return [float(value) for value in corrected]


def signed_rank(differences: Values) -> float:
    """The two-sided p of Wilcoxon's signed-rank test, exact up to 50 patients; 1 where nothing differs.

    Patients without a difference are left out (Wilcoxon, Biometrics 1(6), 1945).
    """
    from scipy.stats import wilcoxon  # takes half a second to import, and `least_p` does not need it

    nonzero = differences[differences != 0]
    return float(wilcoxon(nonzero, method="exact" if len(nonzero) <= 50 else "approx").pvalue) if len(nonzero) else 1.0


def rank_biserial(differences: Values) -> float:
    """Matched-pairs rank-biserial correlation, -1 to 1 (Kerby, Comprehensive Psychology 3, 2014)."""
    from scipy.stats import rankdata

    nonzero = differences[differences != 0]
    if not len(nonzero):
        return 0.0
    ranks = rankdata(np.abs(nonzero))
    return float((ranks * np.sign(nonzero)).sum() / ranks.sum())


def least_p(patients: int) -> float:
    """The smallest p that the signed-rank test can give with so many patients."""
    return float(min(1.0, 2.0 ** (1 - patients)))


def by_patient(values: Values, patients: Sequence[str]) -> Values:
    """The mean of each patient's values, in the order in which patients first appear."""
    names = np.asarray(patients)
    return np.array([mean(values[names == name]) for name in dict.fromkeys(patients)])


def _against(
    rows: Sequence[SampleScore], measure: str, method: str, role: str, opponent: str, samples: int, seed: int
) -> Comparison:
    method_rows, opponent_rows = ([row for row in rows if row.method == name] for name in (method, opponent))
    gain = gains(*(np.array([getattr(row, measure) for row in rows]) for rows in (method_rows, opponent_rows)))
    patients = [row.patient_id for row in method_rows]
    differences = by_patient(gain, patients)
    low, high = interval(gain, patients, samples, seed)
    p = signed_rank(differences)
    return Comparison(
        measure=measure,
        method=method,
        against=role,
        against_method=opponent,
        n=len(method_rows),
        patients=len(differences),
        patients_better=int((differences > 0).sum()),
        difference=mean(gain),
        difference_low=low,
        difference_high=high,
        rank_biserial=rank_biserial(differences),
        p=p,
        p_holm=p,
        p_holm_least=least_p(len(differences)),
    )


def _corrected(family: list[Comparison]) -> list[Comparison]:
    corrected = holm([comparison.p for comparison in family])
    return [
        replace(comparison, p_holm=p, p_holm_least=min(1.0, comparison.p_holm_least * len(family)))
        for comparison, p in zip(family, corrected, strict=True)
    ]
