"""S3, git, MLflow and PostgreSQL dropped in the middle of a call: an error in words, nothing half done, done again."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import numpy as np
import pytest

from soil_assets.adapters.manifest_repository import Author, ManifestRepository
from soil_assets.defs.by_hand import tick
from soil_assets.defs.dead_runs import bury
from soil_assets.defs.judgements import judgements
from soil_assets.errors import BadInput
from soil_assets.storage import Store
from soil_assets_tests.conftest import Platform, make_platform
from soil_assets_tests.defs.batches import folds, land_as
from soil_assets_tests.delivery.git_server import TOKEN, GitHost, git_host
from soil_assets_tests.delivery.models import CLEAN, RELEASED, log, model
from soil_assets_tests.delivery.servers import BIN, answers, free_port, postgres, process, s3
from soil_assets_tests.faults.proxy import CuttingProxy, cutting

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # of clients whose connection was cut
ADA = Author("Ada Lovelace", "ada@example.org")


def port_of(address: str) -> int:
    return int(address.rsplit(":", 1)[1].split("/")[0])


def test_s3_dropped_while_writing_shows_whole_objects_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("s3fs")
    rng = np.random.default_rng(1)
    with s3(tmp_path, "soil") as env, cutting(port_of(env["AWS_ENDPOINT_URL"])) as proxy:
        for key, value in env.items():
            monkeypatch.setenv(key, value)
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        store = Store("s3://soil/data")
        store.write("assets/value", b"0" * 300_000)
        failed = 0
        for turn in range(1, 9):
            proxy.cut_all()
            proxy.budget = int(rng.integers(200, 290_000))
            try:
                store.write("assets/value", str(turn).encode() * 300_000)
            except OSError:
                failed += 1
            proxy.cut_all()
            proxy.budget = None
            content = store.read("assets/value")
            assert len(content) == 300_000
            assert len(set(content)) == 1, "a reader sees one whole version"
        assert failed
        store.write("assets/value", b"9" * 300_000)
        assert store.read("assets/value") == b"9" * 300_000


@pytest.fixture
def host(tmp_path: Path) -> Iterator[GitHost]:
    (tmp_path / "git").mkdir()
    with git_host(tmp_path / "git") as made:
        yield made


def test_git_dropped_in_the_middle_lands_each_change_once(host: GitHost) -> None:
    """A push whose answer was lost has landed all the same; done again, there is nothing left to change."""
    file = "overlays/staging/green.yaml"

    def edit(turn: int, tree: Path) -> str | None:
        line = f"# change {turn}\n"
        text = (tree / file).read_text(encoding="utf-8")
        if line in text:
            return None
        (tree / file).write_text(text + line, encoding="utf-8")
        return f"change {turn}"

    rng = np.random.default_rng(2)
    with cutting(port_of(host.address)) as proxy:
        repository = ManifestRepository(f"http://127.0.0.1:{proxy.port}/soil/manifests.git", "main", TOKEN)
        told: list[str] = []
        for turn in range(6):
            proxy.budget = int(rng.integers(300, 6_000))
            try:
                repository.change(lambda tree, turn=turn: edit(turn, tree), ADA, tries=2)
            except BadInput as error:
                told.append(str(error))
            proxy.budget = None
            repository.change(lambda tree, turn=turn: edit(turn, tree), ADA)
        assert told or proxy.cuts
    assert not any(TOKEN in t for t in told)
    assert host.log() == [*(f"change {t}" for t in range(5, -1, -1)), "Manifests of the prediction service"]
    subprocess.run(["git", "fsck", "--strict"], cwd=host.bare, check=True, capture_output=True)


def test_mlflow_dropped_while_registering_makes_one_version(tmp_path: Path) -> None:
    from soil_assets.adapters import journal
    from soil_assets.adapters.mlflow import Registry
    from soil_assets.adapters.registry import Because, promote, register

    port = free_port()
    command = [
        str(BIN / "mlflow"), "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--backend-store-uri", f"sqlite:///{tmp_path}/mlflow.db", "--artifacts-destination", str(tmp_path / "files"),
    ]  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    with process(command, lambda: answers(f"{address}/health"), folder=tmp_path), cutting(port) as proxy:
        whole = Registry(address, "soil-local", "unused")
        run_id, uri = log(whole, model())
        through = Registry(f"http://127.0.0.1:{proxy.port}", "soil-local", "unused")
        rng, told = np.random.default_rng(3), []
        ada = Because("Ada Lovelace", "it is better")
        for _ in range(6):
            proxy.budget = int(rng.integers(100, 4_000))
            try:
                register(through, "soil-clay", uri, run_id, evidence=CLEAN, because=RELEASED, tags={})
                promote(through, "soil-clay", 1, ada)
            except BadInput as error:
                told.append(str(error))
            proxy.cut_all()
        assert told or proxy.cuts
        assert all("does not answer" in t for t in told), told
        proxy.budget = None
        register(through, "soil-clay", uri, run_id, evidence=CLEAN, because=RELEASED, tags={})
        promote(through, "soil-clay", 1, ada)
        assert [v.version for v in whole.versions("soil-clay")] == [1]
        history = journal.read(whole, "soil-clay")
        assert not history.broken
        assert [e.action for e in history.entries] == ["staged", "promoted"]
        assert whole.aliases("soil-clay") == history.places


@pytest.fixture
def on_postgres(tmp_path: Path) -> Iterator[tuple[Platform, CuttingProxy]]:
    pytest.importorskip("dagster_postgres")
    with postgres("dagster") as address, cutting(port_of(address)) as proxy:
        home = tmp_path / "instance"
        home.mkdir()
        (home / "dagster.yaml").write_text(
            "storage:\n  postgres:\n    postgres_db:\n      hostname: 127.0.0.1\n"
            f"      port: {proxy.port}\n      username: soil\n      password: ''\n      db_name: dagster\n"
            "      scheme: postgresql+psycopg2\ntelemetry: {enabled: false}\n"
        )
        made = make_platform(tmp_path / "soil")
        made.instance.dispose()
        with dg.DagsterInstance.from_config(str(home)) as instance:
            yield Platform(made.settings, made.definitions, instance), proxy


def test_postgresql_dropped_while_judging_ends_in_one_verdict(
    on_postgres: tuple[Platform, CuttingProxy],
) -> None:
    platform, proxy = on_postgres
    assert platform.run("reference_spectra,benchmark_spectra").success
    rng = np.random.default_rng(4)
    for turn, fold in enumerate((6, 7, 10)):
        land_as(platform.landing, f"b{turn}", folds(fold))
        proxy.budget = int(rng.integers(5_000, 60_000))
        proxy.cut_all()
        try:
            list(tick(platform.definitions, platform.instance, "new_batches"))
        except Exception:  # noqa: BLE001  # whatever the driver makes of it; a person starts again
            assert proxy.cuts
        proxy.budget = None
        proxy.cut_all()
        lost_its_connection(platform)
        list(tick(platform.definitions, platform.instance, "new_batches"))
    told = judgements(platform.instance, platform.settings, ["b0", "b1", "b2"])
    assert sorted(told) == ["b0", "b1", "b2"]
    assert all(not j.open_gates and j.records == 1 for j in told.values()), told


def lost_its_connection(platform: Platform) -> None:
    """A process that lost its database has ended: its runs are dead, though this test's process lives on."""
    from soil_assets.defs.dead_runs import PROCESS_TAG

    for run in platform.instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
        host, _, _ = run.tags[PROCESS_TAG].partition(":")
        platform.instance.add_run_tags(run.run_id, {PROCESS_TAG: f"{host}:{os.getpid()}:gone"})
    bury(platform.instance)
