from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from soil_assets.errors import BadInput
from soil_assets.modeling.artifact import ARRAYS_FILE, FACTS_FILE, load, save
from soil_assets.modeling.model import SoilModel
from soil_assets.spectra.axis import Axis
from soil_assets.spectra.batch import SpectralBatch
from soil_assets.spectra.harmonise import to_quantity

Parts = tuple[SpectralBatch, SpectralBatch]


def test_prediction_table(clay_model: SoilModel, parts: Parts) -> None:
    table = clay_model.predict(parts[1])
    assert list(table["sample_id"]) == list(parts[1].sample_ids)
    for level in ("68", "90", "95"):
        assert (table[f"lower_{level}"] <= table["value"]).all()
        assert (table["value"] <= table[f"upper_{level}"]).all()
    assert (table["upper_68"] - table["lower_68"]).mean() < (table["upper_95"] - table["lower_95"]).mean()
    assert (table.loc[table["inside"], "reason"] == "").all()
    assert (table.loc[~table["inside"], "reason"] != "").all()


def test_broken_spectrum_is_refused_with_a_reason(clay_model: SoilModel, parts: Parts) -> None:
    spectra = parts[1].spectra.copy()
    spectra[2, 100] = np.nan
    table = clay_model.predict(dataclasses.replace(parts[1], spectra=spectra))
    assert np.isnan(table["value"][2])
    assert not table["inside"][2]
    assert "missing" in table["reason"][2]
    assert table["value"].notna().sum() == len(parts[1]) - 1


def test_other_axis_or_quantity_is_refused(clay_model: SoilModel, parts: Parts) -> None:
    other = dataclasses.replace(
        parts[1], axis=Axis.regular(3796, 2174, 2, "cm-1"), spectra=np.ones((len(parts[1]), 812), np.float32)
    )
    with pytest.raises(BadInput, match="another spectral axis") as error:
        clay_model.predict(other)
    assert "3796 to 2174" in str(error.value)
    assert "3796 to 552" in str(error.value)
    with pytest.raises(BadInput, match="another quantity") as error:
        clay_model.predict(to_quantity(parts[1], "reflectance"))
    assert "reflectance" in str(error.value)
    assert "absorbance" in str(error.value)


def test_extrapolated_values_are_said(clay_model: SoilModel, parts: Parts) -> None:
    narrow = dataclasses.replace(
        clay_model, training={**clay_model.training, "scaled_range": [10.0, 20.0], "range": [10.0, 20.0]}
    )
    table = narrow.predict(parts[1])
    beyond = (table["value"] > 21.0) | (table["value"] < 9.0)
    assert beyond.any()
    assert (~table.loc[beyond, "inside"]).all()
    assert table.loc[beyond, "reason"].str.contains("10 to 20 %").all()


def test_saved_model_predicts_identically(clay_model: SoilModel, parts: Parts, tmp_path: Path) -> None:
    loaded = load(save(clay_model, tmp_path / "model"))
    assert loaded.predict(parts[1]).equals(clay_model.predict(parts[1]))
    assert dict(loaded.training) == json.loads(json.dumps(clay_model.training))
    assert loaded.half_widths == clay_model.half_widths


def test_equal_models_give_equal_bytes(clay_model: SoilModel, tmp_path: Path) -> None:
    a, b = save(clay_model, tmp_path / "a"), save(load(save(clay_model, tmp_path / "b")), tmp_path / "c")
    for name in (FACTS_FILE, ARRAYS_FILE):
        assert (a / name).read_bytes() == (b / name).read_bytes()
    assert sorted(p.name for p in a.iterdir()) == sorted([FACTS_FILE, ARRAYS_FILE])


@pytest.mark.parametrize("name", [FACTS_FILE, ARRAYS_FILE])
def test_tampered_files_are_refused(clay_model: SoilModel, tmp_path: Path, name: str) -> None:
    folder = save(clay_model, tmp_path)
    content = bytearray((folder / name).read_bytes())
    if name == FACTS_FILE:
        content = bytearray(content.replace(b'"transform": "none"', b'"transform": "log1p"'))
    else:
        content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(BadInput, match="altered"):
        load(folder)


def test_newer_schema_is_refused(clay_model: SoilModel, tmp_path: Path) -> None:
    folder = save(clay_model, tmp_path)
    facts = json.loads((folder / FACTS_FILE).read_text())
    facts["schema_version"] = 99
    (folder / FACTS_FILE).write_text(json.dumps(facts))
    with pytest.raises(BadInput, match="newer schema"):
        load(folder)


def test_not_a_model(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        load(tmp_path)
    (tmp_path / FACTS_FILE).write_text("{")
    with pytest.raises(BadInput, match="not valid JSON"):
        load(tmp_path)
    (tmp_path / FACTS_FILE).write_text("[]")
    with pytest.raises(BadInput, match="not a model file"):
        load(tmp_path)


def test_predicting_imports_no_training_library(clay_model: SoilModel, parts: Parts, tmp_path: Path) -> None:
    """The prediction service answers with numpy and pandas alone."""
    save(clay_model, tmp_path)
    np.save(tmp_path / "spectra.npy", parts[1].spectra)
    code = (
        "import sys, numpy as np, pandas as pd\n"
        "from soil_assets.modeling.artifact import load\n"
        "from soil_assets.spectra.batch import SpectralBatch\n"
        "folder = sys.argv[1]\n"
        "model, x = load(folder), np.load(folder + '/spectra.npy')\n"
        "samples = pd.DataFrame({'sample_id': [str(i) for i in range(len(x))]})\n"
        "batch = SpectralBatch(samples, x, model.axis, model.quantity)\n"
        "print(repr(model.predict(batch)['value'].tolist()))\n"
        "heavy = {'scipy', 'sklearn', 'chemotools', 'ikpls', 'mlflow', 'matplotlib', 'pydantic'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout) == clay_model.predict(parts[1])["value"].tolist()
