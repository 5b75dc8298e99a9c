"""Two daemons on one instance, as during a rolling update: each batch is judged by one run."""

from __future__ import annotations

import os
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from soil_assets.config import load_settings
from soil_assets.defs.build import build_definitions
from soil_assets.defs.dead_runs import selection_of
from soil_assets.defs.judgements import judgements
from soil_assets.defs.run import open_instance, run_job
from soil_assets.defs.twins import TWIN_TAG
from soil_assets.storage import Store
from soil_assets_tests.defs.batches import folds, land_as
from soil_assets_tests.delivery.servers import process

CHECKOUT = Path(__file__).resolve().parent.parent.parent
BATCHES = {"b1": (6,), "b2": (7,), "b3": (10,)}
PATIENCE = 400


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("ignore")
def test_each_batch_is_judged_by_one_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dagster").mkdir()
    env = {
        "SOIL_HOME": str(tmp_path),
        "SOIL_DAGSTER_STORAGE": str(tmp_path / "dagster"),
        "DAGSTER_HOME": str(CHECKOUT),
        "SOIL_CONFIG": str(CHECKOUT / "soil.yaml"),
        "PYTHONPATH": os.pathsep.join([str(CHECKOUT), os.environ.get("PYTHONPATH", "")]),
    }
    for key, value in env.items():
        monkeypatch.setenv(key, value)
    settings = load_settings()
    with open_instance(CHECKOUT) as instance:  # a platform that is updated has its frozen sets
        assert run_job(build_definitions(settings), instance, "freeze").success
    landing = Store(settings.url("landing"))
    for name, wanted in BATCHES.items():
        land_as(landing, name, folds(*wanted))
    program = str(Path(sys.executable).parent / "dagster-daemon")
    command = [program, "run", "-m", "soil_assets.definitions"]
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(process(command, lambda: True, env=env, folder=tmp_path))
        instance = stack.enter_context(open_instance(CHECKOUT))
        end = time.monotonic() + PATIENCE
        told: dict[str, object] = {}
        while time.monotonic() < end:
            seen = judgements(instance, settings, list(BATCHES))
            told = {n: j for n, j in seen.items() if not j.open_gates}
            if len(told) == len(BATCHES):
                break
            time.sleep(2.0)
        time.sleep(20.0)  # a second run of the other daemon would come at its next tick
        told = dict(judgements(instance, settings, list(BATCHES)))
        runs = [r for r in instance.get_runs() if r.job_name == "judge_batch"]
        # Both may have asked before either had: the younger run ends before it does anything.
        shown = [(r.job_name, r.status.value, r.tags, selection_of(r)) for r in instance.get_runs()]
        keys = [r.tags.get("dagster/run_key") for r in runs if TWIN_TAG not in r.tags]
    assert sorted(told) == sorted(BATCHES)
    wrong = {n: j for n, j in told.items() if j.open_gates or j.living_runs != 1 or j.records != 1}  # type: ignore[attr-defined]
    if wrong:
        pytest.fail("\n".join(map(str, [*wrong.items(), *shown])))
    assert len(keys) == len(set(keys)) == len(BATCHES)
