import numpy as np

from components.evidence.bootstrap import patient_bootstrap


def test_images_of_one_patient_are_drawn_together() -> None:
    drawn_patients: list[set[int]] = []

    def remember(drawn: np.ndarray) -> float:
        drawn_patients.append(set(drawn.tolist()))
        return 0.0

    patient_bootstrap(remember, ["a", "a", "b"], 100, 0)
    assert {0, 1} in drawn_patients
    assert all((0 in drawn) == (1 in drawn) for drawn in drawn_patients)


def test_an_interval_of_a_normal_mean_is_about_two_standard_errors() -> None:
    values = np.random.default_rng(1).normal(0, 1, 400)
    low, high = patient_bootstrap(lambda i: float(values[i].mean()), [str(i) for i in range(400)], 1000, 0)
    assert 0.8 < (high - low) / (4 * values.std() / 20) < 1.2
    assert low < values.mean() < high


def test_a_statistic_that_is_never_defined_has_no_interval() -> None:
    assert np.isnan(patient_bootstrap(lambda _: float("nan"), ["a", "b"], 100, 0)).all()


def test_a_patients_name_decides_nothing() -> None:
    values = np.random.default_rng(1).normal(0, 1, 40)
    forward, backward = ([f"{n if up else 99 - n:02}" for n in range(40)] for up in (True, False))
    intervals = [patient_bootstrap(lambda i: float(values[i].mean()), names, 200, 0) for names in (forward, backward)]
    assert intervals[0] == intervals[1]
