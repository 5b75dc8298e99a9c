"""The address of a pull request's own deployment: by main's soil.yaml, for those that have one, in the comment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from soil_assets.branch_settings import DEPLOYMENT_CONTEXT, BranchDeployments
from soil_assets.config import load_settings
from soil_assets.errors import BadInput
from soil_assets_tests.platform.test_branch_deployment import PULL, application_set, filled
from soil_assets_tests.pull_request.facts import SETTINGS
from soil_assets_tests.pull_request.test_comment import SHA, Desk, desk

assert desk  # the fixture of the comment's tests
URL = "https://pr-{number}.soil.example.org"


def pull(*labels: str, number: int = 12) -> dict[str, Any]:
    return {"number": number, "head": {"sha": SHA}, "labels": [{"name": name} for name in labels]}


def test_a_labelled_pull_request_has_an_address_and_no_other() -> None:
    branches = BranchDeployments(url=URL)
    assert branches.address(pull("preview", "data"), []) == "https://pr-12.soil.example.org"
    assert branches.address(pull("data"), []) == ""
    assert BranchDeployments(url=URL, label="").address(pull(), []) == "https://pr-12.soil.example.org"
    assert BranchDeployments().address(pull("preview"), []) == ""
    assert (
        BranchDeployments(url="https://soil.example.org/{sha}/")
        .address(pull("preview"), [])
        .endswith(SHA + "/")
    )


def test_a_platform_that_names_its_deployments_tells_the_address_by_a_status() -> None:
    branches = BranchDeployments(url="https://lab.dagster.cloud/{status}", label="")
    told = {"context": DEPLOYMENT_CONTEXT, "target_url": "https://lab.dagster.cloud/4f2c8a/locations"}
    older = told | {"target_url": "https://lab.dagster.cloud/older"}
    other = {"context": "soil / decision", "target_url": "https://lab.dagster.cloud/decision"}
    assert branches.address(pull(), [other, told, older]) == told["target_url"]
    assert branches.address(pull(), [other]) == ""


@pytest.mark.parametrize(
    "address",
    [
        "https://evil.example/x",
        "https://lab.dagster.cloud.evil.example/",
        "https://lab.dagster.cloud/a) [b](c",
        "",
        None,
    ],
)
def test_a_status_leads_nowhere_else(address: str | None) -> None:
    branches = BranchDeployments(url="https://lab.dagster.cloud/{status}", label="")
    assert branches.address(pull(), [{"context": DEPLOYMENT_CONTEXT, "target_url": address}]) == ""


@pytest.mark.parametrize(
    "wrong",
    ["pr-{number}.example.org", "https://{branch}.example.org", "javascript:alert(1)", "https://a b", "https://x/{number",
     "https://x/{status}/more", "https://x/)[y](z"],
)  # fmt: skip
def test_a_template_that_cannot_work_is_refused_when_the_settings_are_read(
    wrong: str, tmp_path: Path
) -> None:
    (tmp_path / "soil.yaml").write_text(yaml.safe_dump({"branches": {"url": wrong}}))
    with pytest.raises(BadInput) as caught:
        load_settings(tmp_path / "soil.yaml", {})
    assert caught.value.column == "branches.url"
    assert "an address" in str(caught.value)


def test_the_argo_cd_address_is_the_one_that_the_settings_would_tell() -> None:
    patches = filled(application_set()["spec"]["template"], PULL)["spec"]["source"]["kustomize"]["patches"]
    [host] = [p["patch"] for p in patches if p["target"]["kind"] == "Ingress"]
    address = BranchDeployments(url=URL).address(pull("preview", number=int(str(PULL["number"]))), [])
    assert address.removeprefix("https://") in host


def test_the_comment_leads_to_the_deployment(desk: Desk) -> None:
    (desk.root / "soil.yaml").write_text(SETTINGS + f'branches: {{url: "{URL}"}}\n', encoding="utf-8")
    desk.run()
    [before] = desk.fake.ours(7)
    assert "pr-7.soil.example.org" not in before["body"], (
        "without the label there is no deployment to lead to"
    )
    desk.fake.pulls[7]["labels"] = [{"name": "preview"}]
    desk.run()
    [after] = desk.fake.ours(7)
    assert "](<https://pr-7.soil.example.org>)" in after["body"]


def test_the_comment_takes_the_address_of_the_status(desk: Desk) -> None:
    settings = SETTINGS + 'branches: {url: "https://lab.dagster.cloud/{status}", label: ""}\n'
    (desk.root / "soil.yaml").write_text(settings, encoding="utf-8")
    desk.fake.statuses.append(
        {"sha": SHA, "context": DEPLOYMENT_CONTEXT, "target_url": "https://lab.dagster.cloud/4f2c8a"}
    )
    desk.run()
    [posted] = desk.fake.ours(7)
    assert "](<https://lab.dagster.cloud/4f2c8a>)" in posted["body"]
