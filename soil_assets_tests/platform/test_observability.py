"""Dashboard and alert rules: every query is one, every figure in them exists, and a real Prometheus takes them.

Prometheus and promtool are one Debian package (``prometheus``); what needs them is skipped without, and reads the
folder ``PROMETHEUS`` where they are not on the path.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from soil_assets.defs.metrics import FAMILIES
from soil_assets_tests.delivery.servers import answers, free_port, process

promql = pytest.importorskip("promql_parser")

ROOT = Path(__file__).resolve().parent.parent.parent
RULES = ROOT / "deploy" / "prometheus" / "soil-assets.rules.yml"
DASHBOARD = ROOT / "deploy" / "grafana" / "soil-assets.json"
CASES = Path(__file__).parent / "alert_rules.yml"
#: What Prometheus adds to a series, and what a histogram's parts carry.
ADDED = {"job", "instance", "le"}


def rules() -> list[dict[str, Any]]:
    loaded = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    assert set(loaded) == {"groups"}
    return [rule for group in loaded["groups"] for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    return dict(json.loads(DASHBOARD.read_text(encoding="utf-8")))


def targets() -> list[tuple[str, dict[str, Any]]]:
    return [(p["title"], t) for p in dashboard()["panels"] for t in p.get("targets", ())]


def filled(query: str) -> str:
    """Put in what Grafana does for its variables."""
    return re.sub(r"\$(instrument|property)\b", ".*", query.replace("$__rate_interval", "5m"))


def selectors(query: str) -> Iterator[Any]:
    found: list[Any] = []

    def visit(node: Any) -> bool:
        if isinstance(node, promql.VectorSelector):
            found.append(node)
        return True

    _walk(promql.parse(query), visit)
    yield from found


def _walk(node: Any, visit: Any) -> None:
    visit(node)
    for name in ("expr", "lhs", "rhs", "vector_selector", "param"):
        below = getattr(node, name, None)
        if below is not None and type(below).__module__.startswith("promql"):
            _walk(below, visit)
    for below in getattr(node, "args", None) or ():
        _walk(below, visit)


@pytest.fixture(scope="module")
def known() -> dict[str, set[str]]:
    """Every figure that there is, with its labels: those of the exporter and those of the service."""
    from soil_assets.serving.figures import Figures

    found = {name: set(labels) for name, (_, labels) in FAMILIES.items()}
    service = Figures()
    health = SimpleNamespace(unreachable_since=None, refused=())
    live: Any = SimpleNamespace(current=SimpleNamespace(models={}), health=health, moves=0)
    counts = SimpleNamespace(written=0, dropped=0, failures=0)
    log: Any = SimpleNamespace(counts=counts, waiting=0)
    service.watch(live, log)
    for line in service.text().decode().splitlines():
        if match := re.match(r"# TYPE (\S+) (\S+)", line):
            name, kind = match.groups()
            for suffix in ("_bucket", "_count", "_sum") if kind == "histogram" else ("",):
                found[name + suffix] = set()
    for counter in (service.requests, service.seconds, service.predictions):
        for name in found:
            if name.startswith(counter._name):
                found[name] |= set(counter._labelnames)
    found["soil_model_version"] = {"property", "model", "alias"}
    return found


def queries() -> list[tuple[str, str]]:
    asked = [(r["alert"], r["expr"]) for r in rules()]
    return asked + [(title, filled(t["expr"])) for title, t in targets()]


@pytest.mark.parametrize(("where", "query"), queries(), ids=[f"{n}" for n, _ in queries()])
def test_every_figure_and_label_in_a_query_exists(
    where: str, query: str, known: Mapping[str, set[str]]
) -> None:
    found = list(selectors(query))
    assert found, where
    for selector in found:
        assert selector.name in known, f"{where}: {selector.name}"
        labels = known[selector.name] | ADDED
        assert {m.name for m in selector.matchers.matchers} <= labels, f"{where}: {selector.name}"
    grouped = set(re.findall(r"[a-z_]+", " ".join(re.findall(r"(?:by|on|ignoring)\s*\(([^)]*)\)", query))))
    assert grouped <= ADDED.union(*(known[s.name] for s in found)), where


def test_labels_in_the_texts_of_alerts_exist(known: Mapping[str, set[str]]) -> None:
    for rule in rules():
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}, rule["alert"]
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert set(rule["annotations"]) == {"summary", "description"}
        labels = set().union(*(known[s.name] for s in selectors(rule["expr"])))
        used = set(re.findall(r"\$labels\.([a-z_]+)", json.dumps(rule["annotations"])))
        assert used <= labels, rule["alert"]
    for title, target in targets():
        labels = set().union(*(known[s.name] for s in selectors(filled(target["expr"]))))
        assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= labels, title


def test_the_page_explains_every_figure_and_every_alert() -> None:
    page = (ROOT / "docs" / "observability.md").read_text(encoding="utf-8")
    for name in (*FAMILIES, *(r["alert"] for r in rules())):
        assert f"`{name}`" in page, name


def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    cases = yaml.safe_load(CASES.read_text(encoding="utf-8"))["tests"]
    names = [r["alert"] for r in rules()]
    assert len(names) == len(set(names))
    calm = {c["alertname"] for c in cases[0]["alert_rule_test"] if not c.get("exp_alerts")}
    firing = {
        c["alertname"] for case in cases[1:] for c in case.get("alert_rule_test", ()) if c["exp_alerts"]
    }
    samples = json.dumps([case.get("promql_expr_test", []) for case in cases[1:]])
    firing |= set(re.findall(r'alertname=\\"(\w+)\\"', samples))
    assert calm == firing == set(names)


def test_the_dashboard_is_whole() -> None:
    board = dashboard()
    assert board["uid"] == "soil-assets"
    panels = board["panels"]
    assert len({p["id"] for p in panels}) == len(panels)
    assert len({p["title"] for p in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
        assert panel["type"] in ("row", "stat", "table", "timeseries", "bargauge")
        for target in panel.get("targets", ()):
            assert target["datasource"]["uid"] == "${datasource}", "no datasource of somebody's own"
    variables = {v["name"] for v in board["templating"]["list"]}
    assert variables == {"datasource", "instrument", "property"}
    assert set(re.findall(r"\$(?!__)\{?(\w+)", json.dumps(panels))) == variables


def tool(name: str) -> str:
    found = shutil.which(name, path=os.pathsep.join([os.environ.get("PROMETHEUS", ""), os.environ["PATH"]]))
    if not found:
        pytest.skip(f"{name} is not here (Debian: prometheus)")
    return str(found)


def test_promtool_fires_each_alert_where_it_must_and_nowhere_else() -> None:
    for command in (["check", "rules", str(RULES)], ["test", "rules", CASES.name]):
        done = subprocess.run(
            [tool("promtool"), *command], cwd=CASES.parent, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_a_real_prometheus_scrapes_the_exporter_and_answers_the_dashboard(tmp_path: Path) -> None:
    """From ``soil metrics --serve`` through a scrape to each query of the dashboard and the state of each rule."""
    server = tool("prometheus")
    home, ours, theirs = tmp_path / "home", free_port(), free_port()
    (home / "dagster").mkdir(parents=True)
    env = {
        "SOIL_HOME": str(home),
        "DAGSTER_HOME": str(home / "dagster"),
        "SOIL_DAGSTER_STORAGE": str(home / "dagster"),
    }
    scrape = {
        "job_name": "soil",
        "scrape_interval": "1s",
        "static_configs": [{"targets": [f"127.0.0.1:{ours}"]}],
    }
    configuration = {
        "global": {"evaluation_interval": "1s"},
        "rule_files": [str(RULES)],
        "scrape_configs": [{**scrape, "scrape_timeout": "1s"}],
    }
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(configuration), encoding="utf-8")
    exporter = [sys.executable, "-m", "soil_assets", "metrics", "--serve", str(ours)]
    database = [
        server, f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/tsdb",
        f"--web.listen-address=127.0.0.1:{theirs}",
    ]  # fmt: skip
    address = f"http://127.0.0.1:{theirs}"

    def ask(path: str, **values: str) -> Any:
        url = f"{address}/api/v1/{path}?{urllib.parse.urlencode(values)}"
        with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310  # loopback
            return json.load(answer)["data"]

    def ready() -> bool:
        try:
            with urllib.request.urlopen(f"{address}/-/ready", timeout=10):  # noqa: S310  # loopback
                return True
        except urllib.error.HTTPError:
            return False

    with (
        process(exporter, lambda: answers(f"http://127.0.0.1:{ours}/metrics"), env=env, folder=tmp_path),
        process(database, lambda: answers(f"{address}/-/ready"), folder=tmp_path),
    ):
        end = time.monotonic() + 120
        while not ready():
            assert time.monotonic() < end
            time.sleep(0.5)
        while not ask("query", query="soil_export_failed")["result"]:
            assert time.monotonic() < end, ask("targets")
            time.sleep(0.5)
        for _, query in queries():
            ask("query", query=query)  # an answer other than 200 raises
        [gates] = ask("query", query='count(soil_gates{result="passed"})')["result"]
        assert int(gates["value"][1]) > 30
        while any(r["lastEvaluation"].startswith("0001") for r in evaluated(ask("rules"))):
            assert time.monotonic() < end
            time.sleep(0.5)
        assert {r["name"]: r.get("lastError", "") for r in evaluated(ask("rules"))} == {
            r["alert"]: "" for r in rules()
        }


def evaluated(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [rule for group in answer["groups"] for rule in group["rules"]]
