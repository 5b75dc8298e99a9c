"""``soil train``: the model, its card, and what a cancelled training leaves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from soil_assets.cli.app import app
from soil_assets.modeling.artifact import load


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SOIL_HOME", str(tmp_path / "home"))
    settings = tmp_path / "soil.yaml"
    settings.write_text("recipe: {folds: 4, max_components: 6}\n", encoding="utf-8")
    monkeypatch.setenv("SOIL_CONFIG", str(settings))
    return tmp_path


def trained(home: Path) -> tuple[int, str, str]:
    asked = ["train", "nrw115-reference", "-p", "clay", "--out", str(home / "m"), "--json"]
    result = CliRunner().invoke(app, asked)
    return result.exit_code, result.stdout, result.stderr


def test_model_and_card_are_written(home: Path) -> None:
    code, out, _ = trained(home)
    assert code == 0
    said = json.loads(out)
    assert said["random_validation"]["judged"] is False
    model = load(home / "m")
    card = json.loads((home / "m" / "card" / "card.json").read_text(encoding="utf-8"))
    assert card["facts"]["training"]["cross_validation"] == model.training["cross_validation"]
    page = (home / "m" / "card" / "index.html").read_text(encoding="utf-8")
    assert f"{model.training['cross_validation']['rmse']:.2f}" in page
    for picture in ("validated.png", "vip.png", "curves.png"):
        assert (home / "m" / "card" / picture).read_bytes().startswith(b"\x89PNG")
        assert f"({picture})" in (home / "m" / "card" / "card.md").read_text(encoding="utf-8")
    assert not list(home.glob(".m.unfinished*"))


def test_a_cancelled_training_loses_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained(home)
    before = {f.name: f.read_bytes() for f in (home / "m").iterdir() if f.is_file()}
    (home / "soil.yaml").write_text("recipe: {folds: 5, max_components: 6}\n", encoding="utf-8")
    from soil_assets.modeling import learners, validation

    real, fits = learners.learner, [0]

    def until_the_third(name: str) -> object:
        fits[0] += 1
        if fits[0] == 3:
            raise KeyboardInterrupt  # a person's Ctrl-C
        return real(name)

    monkeypatch.setattr(validation, "learner", until_the_third)
    code, out, err = trained(home)
    assert code == 130
    assert out == ""
    assert "the same command goes on from there" in err
    assert {f.name: f.read_bytes() for f in (home / "m").iterdir() if f.is_file()} == before
    assert len(list((home / ".m.unfinished").rglob("[0-9].json"))) == 2
    fits[0] = 10
    code, out, _ = trained(home)
    assert code == 0
    assert json.loads(out)["folds"] == 5
    assert fits[0] == 10 + 3 + 5  # three folds were left, and the repeated validation
    assert not (home / ".m.unfinished").exists()
