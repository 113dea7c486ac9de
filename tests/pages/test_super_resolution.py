"""What the page's evidence says of costs, certainty, the champion before and where the numbers are from."""

import math
import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from components import report, validate
from components.evidence.comparing import compare
from components.evidence.summarising import summarise
from components.handover import METHODS, Layout, read_json, read_record, read_rows, write_json
from components.handover.sr_rows import Comparison, CostLine
from components.pages.labels import NAMES
from components.pages.super_resolution import (
    certainty,
    conclusions,
    configurations,
    costs,
    digests,
    number,
    run_address,
    signed,
    since,
)
from tests import tables
from tests.evidence.rows import rows
from tests.pages.evidence_page import body, drawn
from tests.settings import small
from tests.test_report import copied

__all__ = ["drawn"]  # fixtures


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({}, "No champion was in service before this run"),
        ({"left_out": ""}, "Before this run sr-generator 3 (rrdb) was in service; the tables call it"),
        ({"left_out": "it saw S1"}, "was in service; it could not be compared: it saw S1."),
    ],
)
def test_the_champion_before_is_named_and_why_it_is_not_compared(
    drawn: Layout, record: dict[str, str], said: str
) -> None:
    about = {"name": "sr-generator", "version": "3", "method": "rrdb", "weights_sha256": "0" * 64}
    known = {key: value for key, value in record.items() if value}
    write_json(drawn.champion_report, about | known if record else {})
    assert said in report.render(report.gather(drawn, small()))


def test_a_network_costs_its_training_and_that_of_what_it_went_on_from(drawn: Layout) -> None:
    lines = {line.method: line for line in read_rows(drawn.sr_cost, CostLine)}
    found = {cells[0]: cells for cells in body(drawn.report.read_text(), "Training as recorded")}
    own, before = lines["esrgan"].train_seconds, lines["rrdb"].train_seconds
    energy = lines["esrgan"].train_wh + lines["rrdb"].train_wh
    assert found["ESRGAN"][3:6] == ["cpu", f"{own + before:.0f} {own:.0f} after RRDB", f"{energy:.2f}"]
    assert found["RRDB"][4] == f"{before:.0f} after rrdb-x4,not counted", "what data/shared took is not known"
    assert found["SRCNN"][4] == f"{lines['srcnn'].train_seconds:.0f}"
    assert found["Bicubic"][1:6] == ["none", "none", "not trained", "none", "none"]


def test_what_is_not_known_of_a_cost_is_a_dash(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    tables.write_scores(layout, others=("champion", "swin2sr"))
    method_costs = costs(read_rows(layout.sr_cost, CostLine), configurations(layout, (*METHODS, "champion", "swin2sr")))
    (champion,) = (cost for cost in method_costs if cost.line.method == "champion")
    assert (champion.train_seconds, champion.train_wh, champion.trained_on) == (None, None, "cuda")


def test_few_patients_are_said_to_be_too_few_and_many_are_not() -> None:
    few = compare(rows({"bicubic": [30.0] * 4, "rrdb": [31.0, 32, 33, 34]}), {"bicubic": "bicubic"}, 100, 0)
    assert "4 patients are too few" in conclusions(few, NAMES)[0] and "0.125" in conclusions(few, NAMES)[0]
    many = compare(rows({"bicubic": [30.0] * 9, "rrdb": [31.0 + n for n in range(9)]}), {"bicubic": "bicubic"}, 100, 0)
    assert conclusions(many, NAMES) == ["Against Bicubic: RRDB better."]
    same = [replace(row, p_holm=0.5) for row in many]
    assert "no difference that the corrected tests can tell" in conclusions(same, NAMES)[0]


def test_one_patient_with_many_images_does_not_decide_who_is_better() -> None:
    patients = ["big"] * 100 + [f"P{number}" for number in range(12)]
    gains = [-1.0] * 100 + [1 + number / 100 for number in range(12)]
    table = rows({"bicubic": [30.0] * 112, "rrdb": [30 + gain for gain in gains]}, patients)
    comparisons = compare(table, {"bicubic": "bicubic"}, 100, 0)
    assert comparisons[0].difference < 0 and comparisons[0].p_holm < 0.05
    assert conclusions(comparisons, NAMES) == [
        "Against Bicubic: RRDB (for 12 of 13 patients; the mean over images says the opposite) better."
    ]


@pytest.mark.parametrize(
    ("patients", "gains", "said"),
    [
        (1, [1.0], "It is the gain of one patient: there is no interval"),
        (5, [1.0, 2.0, 3.0, 4.0, 5.0], "but 5 patients are too few to rule out chance: the smallest p"),
        (6, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], "dB: it leaves zero out."),
        (6, [-9.0, 2.0, 3.0, 4.0, 5.0, 6.0], "dB: it holds zero, so the gain may be chance."),
    ],
)
def test_the_verdict_claims_no_more_than_so_many_patients_can_bear(
    patients: int, gains: list[float], said: str
) -> None:
    scores = rows({"bicubic": [30.0] * patients, "rrdb": [30.0 + gain for gain in gains]})
    best = next(line for line in summarise(scores, 100, 0) if line.method == "rrdb")
    assert said in certainty(best, compare(scores, {"bicubic": "bicubic"}, 100, 0))


def test_a_page_of_one_patient_has_no_interval_over_patients_and_counts_in_the_singular(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    tables.write_data(layout)
    tables.write_scores(layout, images=1, patients=1)
    validate.run(layout, small())
    report.run(layout, small())
    page = layout.report.read_text()
    assert "on 1 held-out image of 1 patient," in page and "gain of one patient" in page and "leaves zero" not in page
    assert re.findall(r"\b1 (?:held-out )?(?:images|patients)\b", page) == []
    assert [cells[-1] for cells in body(page, "Minimum to maximum") if "[" in cells[-1]] == []
    assert {cells[2] for cells in body(page, "PSNR (dB) against bicubic")} == {"–"}


def test_a_number_that_is_none_or_undefined_is_said_to_be() -> None:
    assert [number(value, 2) for value in (1.005, -0.5, None, math.nan, math.inf)] == [
        *("1.00", "−0.50", "–", "undefined", "∞")
    ]
    assert [signed(value) for value in (1.0, -1.0)] == ["+1.00", "−1.00"]


def test_runs_are_linked_where_mlflow_is_and_no_password_with_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert run_address("abc") == "http://127.0.0.1:5000/#/runs/abc" and run_address("") == ""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:secret@mlflow.example/")
    assert run_address("abc") == "https://mlflow.example/#/runs/abc"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///elsewhere.db")
    assert run_address("abc").startswith("http://127.0.0.1")


def test_the_data_behind_the_scores_is_named_by_its_digests(drawn: Layout, tmp_path: Path) -> None:
    copy = copied(drawn, tmp_path)
    deps = [{"path": "data/prepared", "md5": "12ab.dir"}, {"path": "components/evaluate.py", "md5": "34cd"}]
    lock = {"stages": {"prepare": {"deps": [{"path": "data/raw", "md5": "56ef.dir"}]}, "evaluate": {"deps": deps}}}
    assert digests(copy.root / "dvc.lock") == {}
    (copy.root / "dvc.lock").write_text(yaml.safe_dump(lock))
    report.run(copy, small())
    page = copy.report.read_text()
    assert body(page, "The data that the scores") == [["data/raw", "56ef.dir"], ["data/prepared", "12ab.dir"]]
    assert "No <code>dvc.lock</code>" in drawn.report.read_text() and "This page was made 20" in page


def test_what_changed_since_the_champion_is_said_in_the_verdict(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    tables.write_data(layout)
    tables.write_scores(layout, others=("champion",))
    validate.run(layout, small())
    page = report.render(context := report.gather(layout, small()))
    best, verdict = context["candidate"], page[: page.index('id="pictures"')]
    (own,) = (
        row
        for row in read_rows(layout.sr_comparisons, Comparison)
        if (row.measure, row.against, row.method) == ("psnr_db", "champion", best.method)
    )
    assert (
        f"{signed(own.difference)} dB on the same images" in verdict and "<code>medsr models show 3</code>" in verdict
    )
    champion, own_settings = context["champion"], read_json(layout.model(best.method) / "config.json")

    def said(**changes: object) -> str:
        write_json(layout.champion / "config.json", own_settings | changes)
        return since(layout, champion, best, context["names"])

    assert "; the same 0 training images; the same settings." in said()
    assert "0 training images, 0 new and 2 no longer there" in said(trained_on=["a", "b"])
    coarser, shorter = own_settings["network"] | {"scale": 2}, own_settings["training"] | {"steps": 50}
    assert "; network.scale 2 → 4, steps 50 → 100." in said(network=coarser, training=shorter)
    assert "; recipe adversarial → None." in said(training=own_settings["training"] | {"recipe": "adversarial"})
    champion["weights_sha256"] = read_record(layout.model(best.method) / "run.json").weights_sha256
    assert "are the same weights." in said()
    write_json(layout.champion_report, champion)
    assert "are the same weights." in report.render(report.gather(layout, small()))
