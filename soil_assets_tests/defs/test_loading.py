"""The code location as Dagster's servers load it: every job and sensor is resolved, not only those a test asks for."""

from __future__ import annotations

from pathlib import Path

from soil_assets.config import Settings
from soil_assets.defs.build import build_definitions


def test_every_job_and_sensor_resolves(tmp_path: Path) -> None:
    repository = build_definitions(Settings(home=str(tmp_path))).get_repository_def()
    repository.load_all_definitions()
    assert {"new_batches", "merged_changes", "declared_automation"} <= {
        s.name for s in repository.sensor_defs
    }
