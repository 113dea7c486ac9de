"""What the differences between methods allow to say: paired, over patients, corrected for how many were looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from components.evidence.averaging import Values, gains, interval, mean
from components.handover.sr_rows import Comparison, SampleScore

MEASURES = ("psnr_db", "ssim")


def compare(rows: Sequence[SampleScore], opponents: Mapping[str, str], samples: int, seed: int) -> list[Comparison]:
    """Every method against each of `opponents` (what it is, which method), by each of `MEASURES`.

    `rows` hold every method on the same images in the same order. Holm's correction is over all methods under one
    measure and one opponent.
    """
    found = []
    for measure in MEASURES:
        for role, opponent in opponents.items():
            others = [method for method in dict.fromkeys(row.method for row in rows) if method != opponent]
            family = [_against(rows, measure, method, role, opponent, samples, seed) for method in others]
            found += _corrected(family)
    return found


def holm(p: Sequence[float]) -> list[float]:
    """`p` after Holm's step-down correction, in the order they came (Scandinavian Journal of Statistics 6, 1979)."""
    order = np.argsort(p, kind="stable")
    raised = np.asarray(p, float)[order] * np.arange(len(p), 0, -1)
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(np.maximum.accumulate(raised), 1.0)
    return [float(value) for value in corrected]


def signed_rank(differences: Values) -> float:
    """The two-sided p of Wilcoxon's signed-rank test, exact up to 50 patients; 1 where nothing differs.

    Patients without a difference are left out (Wilcoxon, Biometrics 1(6), 1945).
    """
    from scipy.stats import wilcoxon  # half a second to import, which whoever asks for `least_p` does not need

    own = differences[differences != 0]
    return float(wilcoxon(own, method="exact" if len(own) <= 50 else "approx").pvalue) if len(own) else 1.0


def rank_biserial(differences: Values) -> float:
    """Matched-pairs rank-biserial correlation, -1 to 1 (Kerby, Comprehensive Psychology 3, 2014)."""
    from scipy.stats import rankdata

    own = differences[differences != 0]
    if not len(own):
        return 0.0
    ranks = rankdata(np.abs(own))
    return float((ranks * np.sign(own)).sum() / ranks.sum())


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
    own, other = ([row for row in rows if row.method == name] for name in (method, opponent))
    over = gains(*(np.array([getattr(row, measure) for row in rows]) for rows in (own, other)))
    patients = [row.patient_id for row in own]
    differences = by_patient(over, patients)
    low, high = interval(over, patients, samples, seed)
    p = signed_rank(differences)
    return Comparison(
        measure=measure,
        method=method,
        against=role,
        against_method=opponent,
        n=len(own),
        patients=len(differences),
        patients_better=int((differences > 0).sum()),
        difference=mean(over),
        difference_low=low,
        difference_high=high,
        rank_biserial=rank_biserial(differences),
        p=p,
        p_holm=p,
        p_holm_least=least_p(len(differences)),
    )


def _corrected(family: list[Comparison]) -> list[Comparison]:
    corrected = holm([one.p for one in family])
    return [
        replace(one, p_holm=p, p_holm_least=min(1.0, one.p_holm_least * len(family)))
        for one, p in zip(family, corrected, strict=True)
    ]
