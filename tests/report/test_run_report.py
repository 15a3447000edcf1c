"""The run report: one file, nothing from outside, and the run's own numbers in it."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from handrail.cli.main import main
from handrail.core.errors import InvalidValueError, WriteError
from handrail.report import write_report
from handrail.report.page import percent


class Links(HTMLParser):
    """Collects what the page refers to, and checks that its tags close."""

    VOID = frozenset({"meta", "link", "img", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.sources += [value or "" for name, value in attrs if name in ("src", "href", "poster")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def page_of(path: Path) -> tuple[str, list[str]]:
    text, links = path.read_text(), Links()
    links.feed(text)
    assert links.open == []
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", text)), links.sources


def test_one_run_on_one_page(write_run, tmp_path: Path) -> None:
    out = write_report([write_run(steps=4000)], tmp_path / "page" / "report.html")
    text, sources = page_of(out)
    assert out.stat().st_size < 6_000_000
    assert len(sources) >= 7 and all(source.startswith("data:") for source in sources)
    assert "TubeInsertion · hil-serl · seed 0" in text and "handrail train hil-serl --task TubeInsertion" in text
    assert "learner.updates_per_step" in text and "256, 256" in text
    assert re.search(r"The operator took over \d+ times in 4,0\d\d steps, once for every \d+ steps", text)
    assert re.search(r"clipped steps: \d+ · overruns: 0 · stops: 0", text)


def test_the_page_shows_what_the_metrics_say(write_run, tmp_path: Path) -> None:
    folder = write_run(steps=4000)
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    episodes = [line for line in lines if line["kind"] == "episode"]
    takeovers = sum(sum(line["takeovers"].values()) for line in episodes)
    assisted = sum(line["success"] for line in episodes) / len(episodes)
    text, _ = page_of(write_report([folder], tmp_path / "report.html"))
    assert f"{takeovers} takeovers" in text
    assert f"{percent(assisted)} success with help" in text


def test_several_runs_share_their_curves(write_run, tmp_path: Path) -> None:
    runs = [write_run(f"{m}-{s}", seed=s, method=m, steps=2000) for m in ("hil-serl", "rlpd") for s in (0, 1, 2)]
    text, sources = page_of(write_report(runs, tmp_path / "report.html"))
    assert "6 runs" in text and all(f"rlpd · seed {seed}" in text for seed in (0, 1, 2))
    assert (tmp_path / "report.html").stat().st_size < 6_000_000
    assert all(source.startswith("data:") for source in sources)


def test_an_unfinished_run_says_so(write_run, tmp_path: Path) -> None:
    text, _ = page_of(write_report([write_run(steps=1500, finished=False)], tmp_path / "report.html"))
    assert "unfinished" in text


def test_a_run_without_an_operator_or_episodes(write_run, tmp_path: Path) -> None:
    folder = write_run(steps=1000)
    evaluation = {"kind": "evaluation", "online_steps": 0, "success_rate": 0.4, "episodes": 20, "failure_modes": {}}
    (folder / "metrics.jsonl").write_text(json.dumps(evaluation) + "\n")
    text, _ = page_of(write_report([folder], tmp_path / "report.html"))
    assert "How often and how long" not in text and "Who drove" not in text


def test_names_cannot_become_markup(write_run, tmp_path: Path) -> None:
    folder = write_run(steps=1000, method="<script>alert(1)</script>")
    assert "<script" not in write_report([folder], tmp_path / "report.html").read_text()


def test_no_run_given(tmp_path: Path) -> None:
    with pytest.raises(InvalidValueError, match="0 runs given: name at least one run folder"):
        write_report([], tmp_path / "report.html")


def test_a_place_that_cannot_be_written(write_run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError, match=r"cannot write .*report\.html \(.*\): choose another file with --out"):
        write_report([write_run(steps=1000)], tmp_path / "file" / "report.html")


@pytest.mark.parametrize(
    ("rate", "said"), [(None, "–"), (0.0, "0 %"), (0.05, "5 %"), (0.0123, "1.2 %"), (0.0996, "10 %"), (1.0, "100 %")]
)
def test_percent(rate: float | None, said: str) -> None:
    assert percent(rate) == said


def test_the_command_writes_beside_the_run(write_run, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_run(steps=1000)
    assert main(["report", str(folder)]) == 0
    assert (folder / "report.html").is_file()
    assert capsys.readouterr().out.strip().endswith("report.html")


def test_the_command_answers_a_missing_run_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(tmp_path / "nowhere")]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "does not exist: give a folder that 'handrail train' has written" in said


def test_the_command_wants_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report"]) == 2
    assert capsys.readouterr().err == "handrail: 0 runs given: name at least one run folder\n"


def test_the_command_knows_its_flags(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["report", "run", "--ouut", "x.html"])
    assert stop.value.code == 2 and "did you mean --out?" in capsys.readouterr().err


def test_recorded_episodes_add_film_raster_and_exact_lengths(write_run, recorded: Path, tmp_path: Path) -> None:
    folder = write_run(steps=2000)
    shutil.copytree(recorded, folder / "episodes")
    text, sources = page_of(write_report([folder], tmp_path / "report.html"))
    films = [source for source in sources if source.startswith("data:video/mp4")]
    assert len(films) == 3 and "env seed 1006 · 48 steps success" in text and "48 steps jammed" in text
    assert "Step by step" in text
    assert re.search(r"of the 12 recorded step by step, eight in ten lasted \d+ to \d+ steps", text)


def test_films_stay_within_their_room(write_run, recorded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_run(steps=1000)
    shutil.copytree(recorded, folder / "episodes")
    monkeypatch.setattr("handrail.report.run_report.FILM_BYTES", 30_000)
    _, sources = page_of(write_report([folder], folder / "report.html"))
    films = [source for source in sources if source.startswith(("data:video", "data:image/jpeg"))]
    assert sum(map(len, films)) <= 30_000 and len(films) < 6


def test_a_prevented_failure_is_one_film_and_the_risk_one_picture(write_run, recorded: Path, tmp_path: Path) -> None:
    folder = write_run(steps=1000)
    shutil.copytree(recorded, folder / "prevented")
    result = json.loads((folder / "result.json").read_text())
    curve = {"predicted": [0.01, 0.4], "realised": [0.02, 0.5], "count": [900, 30]}
    (folder / "result.json").write_text(json.dumps(result | {"calibration_curve": curve}))
    text, sources = page_of(write_report([folder], tmp_path / "report.html"))
    assert "A failure that did not happen" in text and "Is the risk a probability?" in text
    assert sum(source.startswith("data:video/mp4") for source in sources) == 1


def test_a_run_that_watched_nothing_says_nothing_of_it(write_run, tmp_path: Path) -> None:
    text, _ = page_of(write_report([write_run(steps=1000)], tmp_path / "report.html"))
    assert "A failure that did not happen" not in text and "Is the risk a probability?" not in text
