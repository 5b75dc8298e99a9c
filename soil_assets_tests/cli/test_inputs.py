"""What commands read: a batch with a lab table named beside it says how the two were joined."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from soil_assets.benchmarks.instrument_files import opus, real_batch
from soil_assets.cli.inputs import landed_from
from soil_assets.config import Settings


def test_a_lab_table_named_on_the_command_line_tells_what_did_not_match(tmp_path: Path) -> None:
    field = real_batch()
    folder = tmp_path / "scans"
    folder.mkdir()
    for number in range(4):
        raw = opus(field.spectra[number], float(field.axis.values[0]), float(field.axis.values[-1]))
        (folder / f"soil_{number}.0").write_bytes(raw)
    lab = tmp_path / "results.csv"
    lab.write_text("sample_id,clay\nsoil_0,20\nsoil_1,30\nsoil_1,31\nsoil_9,40\n", encoding="utf-8")
    landed = landed_from(str(folder), Settings(), str(lab))
    notes = "\n".join(landed.notes)
    assert "results.csv: 2 of 4 scans found their row among 4" in notes
    assert "2 scans without a lab row (soil_2, soil_3)" in notes
    assert "1 lab rows without a scan (soil_9)" in notes
    assert "1 ids with several lab rows (soil_1)" in notes
    assert landed.lab_rows == 4
    assert np.isnan(landed.batch.property_values("clay")[2:]).all()
