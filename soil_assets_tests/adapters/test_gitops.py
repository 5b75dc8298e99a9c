"""Releases as commits in a manifest repository over authenticated HTTP: what lands, who is refused or comes second."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from soil_assets.adapters import journal
from soil_assets.adapters.gitops import NotReady, Releases
from soil_assets.adapters.manifest_repository import Author, ManifestRepository
from soil_assets.adapters.mlflow import Registry
from soil_assets.adapters.registry import Because, accept
from soil_assets.delivery.slots import COLOUR_LABEL, State
from soil_assets.errors import BadInput
from soil_assets_tests.delivery.git_server import READ_ONLY, TOKEN, GitHost, git_host
from soil_assets_tests.delivery.models import ADA, registered, sqlite_registry
from soil_assets_tests.delivery.servers import BIN

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
ROBOT = Because(
    "soil release <soil-release@localhost>", "every gate passed", links={"report": "https://x.org/r"}
)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """Three staged versions of clay, two of ph."""
    with sqlite_registry(Path(tmp_path_factory.mktemp("registry"))) as made:
        for name in ("soil-clay",) * 3 + ("soil-ph",) * 2:
            registered(made, name)
        yield made


@pytest.fixture
def host(tmp_path: Path) -> Iterator[GitHost]:
    with git_host(tmp_path) as made:
        yield made


def releases(host: GitHost, registry: Registry, environment: str = "staging", token: str = TOKEN) -> Releases:
    repository = ManifestRepository(host.url, "main", token)
    return Releases(repository, registry, environment, f"overlays/{environment}")


def go_live(where: Releases, models: dict[str, int], because: Because = ADA) -> State:
    staged = where.stage(models, "", because).state.idle
    where.record(staged.release, True, "22 spectra alike", because)
    return where.switch(because).state


def places(host: GitHost, environment: str) -> tuple[str, str]:
    found = [yaml.safe_load(host.file(f"overlays/{environment}/{s}.yaml")) for s in ("live", "preview")]
    return tuple(f["spec"]["selector"][COLOUR_LABEL] for f in found)  # type: ignore[return-value]


def test_stage_test_switch_rollback(host: GitHost, registry: Registry) -> None:
    staging = releases(host, registry)
    first = staging.stage({"soil-clay": 1, "soil-ph": 1}, "soil:0.1.0", ROBOT)
    assert (first.what, first.state.idle.models) == ("staged", {"soil-clay": 1, "soil-ph": 1})
    assert places(host, "staging") == ("blue", "green")
    staging.record(first.state.idle.release, True, "22 spectra alike", ROBOT)
    assert places(host, "staging") == ("blue", "green"), "a test moves nothing"
    assert staging.switch(ROBOT).what == "switched"
    assert places(host, "staging") == ("green", "blue")
    live = go_live(staging, {"soil-clay": 2, "soil-ph": 1}, ROBOT)
    assert (live.live.colour, live.live.models["soil-clay"]) == ("blue", 2)
    back = staging.roll_back(ROBOT)
    assert (back.state.live.models["soil-clay"], back.state.idle.models["soil-clay"]) == (1, 2)
    assert back.state.idle.withdrawn
    assert host.log() == [
        "staging: roll back from soil-clay 2, soil-ph 1 to soil-clay 1, soil-ph 1 on green",
        "staging: switch to soil-clay 2, soil-ph 1 on blue",
        "staging: test of soil-clay 2, soil-ph 1 on blue passed",
        "staging: stage soil-clay 2, soil-ph 1 on blue",
        "staging: switch to soil-clay 1, soil-ph 1 on green",
        "staging: test of soil-clay 1, soil-ph 1 on green passed",
        "staging: stage soil-clay 1, soil-ph 1 on green",
        "Manifests of the prediction service",
    ]
    message = host.message()
    assert message.startswith("soil release <soil-release@localhost>\n")
    assert "Why: every gate passed" in message
    assert "Report: https://x.org/r" in message
    assert "Signed-off-by: soil release <soil-release@localhost>" in message
    assert registry.aliases("soil-clay") == {"staging": 3}, "staging's traffic moves no alias"


def test_production_s_alias_follows_the_commit(host: GitHost, tmp_path: Path) -> None:
    with sqlite_registry(tmp_path) as registry:
        for name in ("soil-clay", "soil-clay", "soil-ph"):
            registered(registry, name)
        production = releases(host, registry, "production")
        go_live(production, {"soil-clay": 1, "soil-ph": 1})
        assert registry.aliases("soil-clay")["production"] == 1
        go_live(production, {"soil-clay": 2, "soil-ph": 1})
        assert registry.aliases("soil-clay") == {"staging": 2, "production": 2, "previous": 1}
        back = production.roll_back(replace(ADA, why="yield maps look wrong"))
        assert back.aliases == {"soil-clay": 1}, "ph was not released, so it is not rolled back"
        assert registry.aliases("soil-clay") == {"staging": 2, "production": 1, "previous": 2}
        assert registry.aliases("soil-ph") == {"staging": 1, "production": 1}
        last = journal.read(registry, "soil-clay").entries[-1]
        assert (last.action, last.why) == ("rolled back", "yield maps look wrong")
        assert last.links["manifests"] == f"{host.url}@{back.commit}"
        assert production.followed(production.state()) == {}


def test_every_step_again_changes_nothing(host: GitHost, registry: Registry) -> None:
    staging = releases(host, registry)
    one = staging.stage({"soil-clay": 1}, "", ROBOT)
    assert staging.stage({"soil-clay": 1}, "", ROBOT).what == "staged already"
    for _ in range(2):
        staging.record(one.state.idle.release, True, "alike", ROBOT)
    assert staging.switch(ROBOT).what == "switched"
    assert staging.switch(ROBOT).what == "live already"
    assert staging.switch(ROBOT, one.state.idle.release).what == "live already"
    assert staging.stage({"soil-clay": 1}, "", ROBOT).what == "live already"
    go_live(staging, {"soil-clay": 2}, ROBOT)
    assert staging.roll_back(ROBOT).what == "rolled back"
    assert staging.roll_back(ROBOT).what == "rolled back already"
    assert len(host.log()) == 1 + 3 + 3 + 1


def test_killed_between_commit_and_alias_the_same_command_finishes(
    host: GitHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with sqlite_registry(tmp_path) as registry:
        registered(registry)
        production = releases(host, registry, "production")
        staged = production.stage({"soil-clay": 1}, "", ADA).state.idle
        production.record(staged.release, True, "alike", ADA)

        def killed(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(Releases, "_follow", killed)
            with pytest.raises(KeyboardInterrupt):
                production.switch(ADA)
        assert production.followed(production.state()) == {"soil-clay": (1, None)}
        again = production.switch(ADA)
        assert (again.what, again.commit, again.aliases) == ("live already", "", {"soil-clay": 1})


def test_killed_between_two_aliases_the_same_command_finishes(host: GitHost, tmp_path: Path) -> None:
    with sqlite_registry(tmp_path) as registry:
        registered(registry)
        registered(registry)
        production = releases(host, registry, "production")
        for version in (1, 2):
            staged = production.stage({"soil-clay": version}, "", ADA).state.idle
            production.record(staged.release, True, "alike", ADA)
            production.switch(ADA)
        wanted = journal.read(registry, "soil-clay").places
        assert (wanted["production"], wanted["previous"]) == (2, 1)
        registry.client().delete_registered_model_alias("soil-clay", "previous")
        assert production.switch(ADA).what == "live already"
        assert registry.aliases("soil-clay") == wanted


@pytest.mark.parametrize("result", ["failed", ""])
def test_what_did_not_pass_its_test_is_never_switched(host: GitHost, registry: Registry, result: str) -> None:
    staging = releases(host, registry)
    with pytest.raises(NotReady, match="nothing is staged"):
        staging.switch(ROBOT)
    slot = staging.stage({"soil-clay": 1}, "", ROBOT).state.idle
    if result:
        staging.record(slot.release, False, "soil-clay is served 0.2 apart", ROBOT)
    with pytest.raises(
        NotReady, match="failed its test: soil-clay is served 0.2 apart" if result else "was not tested"
    ):
        staging.switch(ROBOT)
    assert places(host, "staging") == ("blue", "green")
    assert staging.state().idle.models == {"soil-clay": 1}, "the slot is left for a look"


def test_production_needs_a_person_a_reason_and_a_staged_version(host: GitHost, registry: Registry) -> None:
    production = releases(host, registry, "production")
    for nobody, says in (
        (Because("", "x y z"), "person"),
        (Because("ci", "x y z"), "person"),
        (Because("Ada L", ""), "reason"),
    ):
        with pytest.raises(BadInput, match=says):
            production.switch(nobody)
        with pytest.raises(BadInput, match=says):
            production.roll_back(nobody)
    with pytest.raises(BadInput, match="soil-clay version 9"):
        production.stage({"soil-clay": 9}, "", ADA)
    with pytest.raises(BadInput, match="nothing to release"):
        production.stage({}, "", ADA)
    assert len(host.log()) == 1


def test_a_rollback_needs_what_was_live_before(host: GitHost, registry: Registry) -> None:
    staging = releases(host, registry)
    with pytest.raises(BadInput, match="does not hold what was live before"):
        staging.roll_back(ROBOT)
    go_live(staging, {"soil-clay": 1}, ROBOT)
    with pytest.raises(BadInput, match="never was live"):
        staging.roll_back(ROBOT)
    go_live(staging, {"soil-clay": 2}, ROBOT)
    staging.stage({"soil-clay": 3}, "", ROBOT)
    with pytest.raises(BadInput, match="soil-clay 3, which never was live"):
        staging.roll_back(ROBOT)


def test_a_withdrawn_version_goes_live_again_only_after_another_test(
    host: GitHost, registry: Registry
) -> None:
    staging = releases(host, registry)
    go_live(staging, {"soil-clay": 1}, ROBOT)
    go_live(staging, {"soil-clay": 2}, ROBOT)
    slot = staging.roll_back(ROBOT).state.idle
    with pytest.raises(NotReady, match="was not tested"):
        staging.switch(ROBOT)
    staging.record(slot.release, True, "alike", ROBOT)
    assert staging.switch(ROBOT).state.live.models == {"soil-clay": 2}


def test_comments_and_unknown_fields_survive_and_only_what_must_changes(
    host: GitHost, registry: Registry
) -> None:
    text = host.file("overlays/staging/green.yaml").replace(
        "spec:\n  replicas: 0\n",
        "spec:\n  replicas: 0 # until something is staged\n  unknownField: {kept: true, list: [1, 2]}\n",
    )
    text = text.replace(
        "            - serve\n", "            - serve # the verb\n            - '--quoted=yes'\n"
    )
    host.commit("overlays/staging/green.yaml", "---\n" + text)
    staging = releases(host, registry)
    staging.stage({"soil-clay": 1, "soil-ph": 2}, "", ROBOT)
    changed = host.git("diff", "--unified=0", "HEAD~1", "HEAD").splitlines()
    removed = [line[1:] for line in changed if line.startswith("-") and not line.startswith("---")]
    added = [line[1:].strip() for line in changed if line.startswith("+") and not line.startswith("+++")]
    assert removed == ["  replicas: 0 # until something is staged"]
    assert added[:3] == [added[0], added[1], "replicas: 1 # until something is staged"]
    assert set(added[3:]) == {"- --model=soil-clay=1", "- --model=soil-ph=2"}
    assert host.git("diff", "--name-only", "HEAD~1", "HEAD").split() == ["overlays/staging/green.yaml"]
    now = host.file("overlays/staging/green.yaml")
    assert "# one --model=NAME=VERSION for each registered model" in now
    assert "unknownField: {kept: true, list: [1, 2]}" in now
    assert "'--quoted=yes'" in now


def test_what_was_released_is_what_kubernetes_gets(host: GitHost, registry: Registry) -> None:
    import shutil

    kubectl = shutil.which("kubectl", path=str(BIN)) or shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not here")
    staging = releases(host, registry)
    go_live(staging, {"soil-clay": 2, "soil-ph": 1}, ROBOT)
    with staging.repository.checkout() as tree:
        made = subprocess.run(
            [kubectl, "kustomize", str(tree / "overlays/staging")], capture_output=True, text=True, check=True
        ).stdout
    objects = {(o["kind"], o["metadata"]["name"]): o for o in yaml.safe_load_all(made)}
    live = objects["Service", "soil-live"]["spec"]["selector"]
    [pods] = [
        o for o in objects.values()
        if o["kind"] == "Deployment" and live.items() <= o["spec"]["template"]["metadata"]["labels"].items()
    ]  # fmt: skip
    assert pods["spec"]["replicas"] == 1
    arguments = pods["spec"]["template"]["spec"]["containers"][0]["args"]
    assert arguments == ["serve", "--host=0.0.0.0", "--port=8080", "--model=soil-clay=2", "--model=soil-ph=1"]


def test_the_token_stands_in_no_argument_file_or_message(host: GitHost, registry: Registry) -> None:
    staging = releases(host, registry)
    with staging.repository.checkout() as tree:
        kept = [f for f in tree.rglob("*") if f.is_file() and TOKEN.encode() in f.read_bytes()]
    assert kept == []
    assert TOKEN not in repr(staging.repository)
    assert any(authorisation.startswith("Basic ") for _, _, authorisation in host.asked)


@pytest.mark.parametrize("token", ["", "wrong"])
def test_unauthorised(host: GitHost, registry: Registry, token: str) -> None:
    with pytest.raises(BadInput, match="does not let this user in") as caught:
        releases(host, registry, token=token).stage({"soil-clay": 1}, "", ROBOT)
    assert "SOIL_MANIFESTS_TOKEN" in str(caught.value)
    assert token == "" or token not in str(caught.value)


def test_a_token_that_may_only_read(host: GitHost, registry: Registry) -> None:
    reader = releases(host, registry, token=READ_ONLY)
    assert reader.state().live.colour == "blue"
    with pytest.raises(BadInput, match="does not let this user in"):
        reader.stage({"soil-clay": 1}, "", ROBOT)


def test_protected(host: GitHost, registry: Registry) -> None:
    host.protect()
    with pytest.raises(BadInput, match="protected against this push") as caught:
        releases(host, registry).stage({"soil-clay": 1}, "", ROBOT)
    assert caught.value.column == "main"
    assert "release.branch" in (caught.value.mend or "")
    assert host.log() == ["Manifests of the prediction service"]


def test_production_s_alias_stays_when_the_commit_does_not_land(host: GitHost, tmp_path: Path) -> None:
    with sqlite_registry(tmp_path) as registry:
        registered(registry)
        production = releases(host, registry, "production")
        slot = production.stage({"soil-clay": 1}, "", ADA).state.idle
        production.record(slot.release, True, "alike", ADA)
        host.protect()
        with pytest.raises(BadInput, match="protected"):
            production.switch(ADA)
        assert "production" not in registry.aliases("soil-clay")
        host.unprotect()
        assert production.switch(ADA).aliases == {"soil-clay": 1}


def test_moved(host: GitHost, registry: Registry) -> None:
    host.moved["/soil/manifests.git"] = "http://127.0.0.1:9/elsewhere.git"
    with pytest.raises(BadInput, match="may have moved") as caught:
        releases(host, registry).state()
    assert "release.repository" in (caught.value.mend or "")
    with pytest.raises(BadInput, match="may have moved"):
        Releases(
            ManifestRepository(f"{host.address}/soil/gone.git", "main", TOKEN), registry, "staging", "x"
        ).state()


def test_no_such_branch_or_overlay(host: GitHost, registry: Registry) -> None:
    with pytest.raises(BadInput, match="no such branch"):
        Releases(
            ManifestRepository(host.url, "releases", TOKEN), registry, "staging", "overlays/staging"
        ).state()
    with pytest.raises(BadInput, match="no such overlay"):
        Releases(ManifestRepository(host.url, "main", TOKEN), registry, "staging", "overlays/other").state()
    with pytest.raises(BadInput, match="leaves the manifest repository"):
        Releases(ManifestRepository(host.url, "main", TOKEN), registry, "staging", "../../etc").state()


@pytest.mark.parametrize(
    ("file", "text", "says"),
    [
        ("green.yaml", "<<<<<<< HEAD\na: 1\n=======\na: 2\n>>>>>>> other\n", "unfinished merge"),
        ("blue.yaml", "a: [1\n", "not valid YAML"),
        ("blue.yaml", "", "is empty"),
        ("blue.yaml", "a: 1\n---\nb: 2\n", "not valid YAML|not one YAML document"),
        ("live.yaml", "spec: {selector: {soil-assets/colour: green}}\n", "same colour"),
        ("blue.yaml", "metadata: {}\nspec: {}\n", "a part of the manifest is missing"),
        ("blue.yaml", "!!python/object/apply:os.system ['true']\n", "is empty|not valid YAML|not one YAML"),
    ],
)
def test_conflicting_or_broken_manifests(
    host: GitHost, registry: Registry, file: str, text: str, says: str
) -> None:
    host.commit(f"overlays/staging/{file}", text)
    with pytest.raises(BadInput, match=says) as caught:
        releases(host, registry).stage({"soil-clay": 1}, "", ROBOT)
    assert caught.value.file is not None
    assert caught.value.file.startswith("overlays/staging/")
    assert len(host.log()) == 2


def test_a_link_out_of_the_repository_is_not_followed(
    host: GitHost, registry: Registry, tmp_path: Path
) -> None:
    outside = tmp_path / "outside.yaml"
    outside.write_text("a: 1\n")
    scratch = tmp_path / "links"
    subprocess.run(["git", "clone", "--quiet", str(host.bare), str(scratch)], check=True)
    (scratch / "overlays/staging/blue.yaml").unlink()
    (scratch / "overlays/staging/blue.yaml").symlink_to(outside)
    for command in (
        ["add", "-A"],
        ["-c", "user.name=x", "-c", "user.email=x@x", "commit", "-qm", "link"],
        ["push", "-q"],
    ):
        subprocess.run(["git", *command], cwd=scratch, check=True, capture_output=True)
    with pytest.raises(BadInput, match="leaves the manifest repository"):
        releases(host, registry).state()
    assert outside.read_text() == "a: 1\n"


def test_two_releases_at_once_both_land_one_after_the_other(host: GitHost, registry: Registry) -> None:
    """Each writer makes its change on the newest commit; what is on the slot at the end is one whole release."""
    problems: list[BaseException] = []
    tries: list[int] = []

    def write(version: int) -> None:
        try:
            tries.append(
                releases(host, registry).stage({"soil-clay": version, "soil-ph": 1}, "", ROBOT).tries
            )
        except BaseException as error:  # noqa: BLE001  # told by the test, not by a thread's traceback
            problems.append(error)

    writers = [threading.Thread(target=write, args=(v,)) for v in (1, 2, 3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert problems == []
    subjects = host.log()[:-1]
    assert sorted(subjects) == [f"staging: stage soil-clay {v}, soil-ph 1 on green" for v in (1, 2, 3)]
    last = releases(host, registry).state().idle
    assert subjects[0] == f"staging: stage {last.in_words()} on green"


def test_a_test_of_a_release_that_was_replaced_is_not_noted(host: GitHost, registry: Registry) -> None:
    staging = releases(host, registry)
    first = staging.stage({"soil-clay": 1}, "", ROBOT).state.idle
    staging.stage({"soil-clay": 2}, "", ROBOT)
    with pytest.raises(BadInput, match="another release was staged"):
        staging.record(first.release, True, "alike", ROBOT)
    with pytest.raises(BadInput, match="another release is staged"):
        staging.switch(ROBOT, first.release)
    assert staging.state().idle.test == ""


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "no manifest repository"),
        ("--upload-pack=touch x", "no manifest repository"),
        ("ext::sh -c true", "does not answer|no manifest repository|not an address|may have moved"),
        ("http://git.example.org/x.git", "in the open"),
        ("https://user:secret@git.example.org/x.git", "password stands in"),
        ("ftp://git.example.org/x.git", "not an address"),
    ],
)
def test_addresses_that_are_refused(url: str, says: str) -> None:
    with pytest.raises(BadInput, match=says) as caught, ManifestRepository(url).checkout():
        pass
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "name", "email"),
    [
        ("Ada Lovelace <ada@example.org>", "Ada Lovelace", "ada@example.org"),
        ("Ada Lovelace", "Ada Lovelace", "ada.lovelace@localhost"),
        ("Ada\nSigned-off-by: Eve <eve@example.org>", "Ada Signed-off-by: Eve", "eve@example.org"),
        ("ada", "ada", "ada@localhost"),
    ],
)
def test_who_signs_off(text: str, name: str, email: str) -> None:
    author = Author.parse(text)
    assert "\n" not in author.name + author.email
    assert (author.name, author.email) == (name, email)


def test_commits_name_where_the_histories_end_and_nothing_is_released_from_others(
    host: GitHost, tmp_path: Path
) -> None:
    """Cut in the registry and in its own tag: the repository still tells."""
    with sqlite_registry(tmp_path) as registry:
        for _ in range(2):
            registered(registry, "soil-clay")
        production = releases(host, registry, "production")
        go_live(production, {"soil-clay": 1})
        go_live(production, {"soil-clay": 2})
        staged = production.stage({"soil-clay": 1}, "", ADA)
        history = journal.read(registry, "soil-clay")
        assert f"History-head: soil-clay {history.anchor}" in host.message()
        assert production.objections() == []
        client = registry.reader()
        client.delete_model_version("soil-clay.journal", str(history.last_number))
        shorter = history.entries[-2]
        client.set_registered_model_tag("soil-clay", "soil.history_head", f"{shorter.number} {shorter.seal}")
        assert journal.read(registry, "soil-clay").objection == "", "the registry alone cannot tell"
        [objection] = production.objections()
        assert "manifest commit" in objection
        with pytest.raises(BadInput, match="not to be believed"):
            production.record(staged.state.idle.release, True, "alike", ADA)
        accept(registry, "soil-clay", ADA, production.anchors()["soil-clay"])
        assert production.objections() == []
        production.record(staged.state.idle.release, True, "alike", ADA)
