"""``soil metrics``: on an empty platform, to standard output, to a file, behind a port."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from typer.testing import CliRunner

from soil_assets.cli import app
from soil_assets.errors import BadInput


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "dagster").mkdir()
    monkeypatch.setenv("SOIL_HOME", str(tmp_path))
    monkeypatch.setenv("SOIL_DAGSTER_STORAGE", str(tmp_path / "dagster"))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    return tmp_path


def test_an_empty_platform_has_figures_too(home: Path) -> None:
    printed = CliRunner().invoke(app, ["metrics"])
    assert printed.exit_code == 0, printed.output
    names = {s.name for family in text_string_to_metric_families(printed.stdout) for s in family.samples}
    assert {"soil_batches", "soil_gates", "soil_runs", "soil_export_failed"} <= names
    told = json.loads(CliRunner().invoke(app, ["metrics", "--json"]).stdout)
    assert {"status": "passed", "value": 0.0} in told["soil_batches"]
    assert told["soil_batch_verdict_seconds"] == []
    assert not (home / "mlflow.db").exists(), "looking makes no registry"


def test_a_file_for_the_collector(home: Path) -> None:
    file = home / "soil.prom"
    done = CliRunner().invoke(app, ["metrics", "--output", str(file)])
    assert done.exit_code == 0, done.output
    assert list(text_string_to_metric_families(file.read_text()))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--output", "x.prom", "--json"], "exclude one another"),
        (["--output", "nowhere/x.prom"], "no such folder"),
        (["--serve", "99999"], "not a port"),
    ],
)
def test_bad_options_are_explained(home: Path, options: list[str], said: str) -> None:
    result = CliRunner().invoke(app, ["metrics", *options])
    assert isinstance(result.exception, BadInput)
    assert said in str(result.exception)


def test_scraped_until_it_is_ended(home: Path) -> None:
    served = subprocess.Popen(
        [sys.executable, "-m", "soil_assets", "metrics", "--serve", "0"],
        stderr=subprocess.PIPE, text=True, env={**os.environ},
    )  # fmt: skip
    try:
        assert served.stderr is not None
        address = served.stderr.readline().split()[0]
        with urllib.request.urlopen(address, timeout=60) as answer:  # noqa: S310  # loopback
            text = answer.read().decode()
    finally:
        served.send_signal(signal.SIGTERM)
        served.communicate(timeout=60)
    assert served.returncode == 0
    assert any(f.name == "soil_batches" for f in text_string_to_metric_families(text))
