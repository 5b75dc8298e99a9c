"""Slots and smoke verdicts as values."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soil_assets.delivery.slots import (
    COLOUR_LABEL,
    LIVE_UNTIL,
    TEST,
    model_versions,
    note,
    put,
    read_slot,
    read_state,
    release_name,
    select,
)
from soil_assets.delivery.smoke import Limits, Observed, judge
from soil_assets.errors import BadInput


def deployment(*models: str, replicas: int = 2) -> dict[str, Any]:
    return {
        "kind": "Deployment",
        "metadata": {"name": "x", "annotations": {"soil-assets/replicas": "3", "other.org/kept": "yes"}},
        "spec": {
            "replicas": replicas,
            "unknownField": {"kept": True},
            "template": {
                "spec": {
                    "containers": [
                        {"name": "sidecar", "args": ["--model=not-ours=1"]},
                        {"name": "serve", "image": "soil:1", "args": ["serve", *models, "--port=8080"]},
                    ]
                }
            },
        },
    }


def service(colour: str) -> dict[str, Any]:
    return {"spec": {"selector": {COLOUR_LABEL: colour}}}


names = st.from_regex(r"soil-[a-z]{1,8}", fullmatch=True)
releases = st.dictionaries(names, st.integers(1, 999), min_size=1, max_size=5)


@given(before=releases, after=releases)
def test_a_release_replaces_versions_and_nothing_else(before: dict[str, int], after: dict[str, int]) -> None:
    document = deployment(*(f"--model={n}={v}" for n, v in before.items()))
    untouched = copy.deepcopy(document)
    put(document, "blue", after, "", "today")
    slot = read_slot("blue", document)
    assert slot.models == after
    assert slot.release == release_name(after, "soil:1")
    arguments = document["spec"]["template"]["spec"]["containers"][1]["args"]
    assert [a for a in arguments if not a.startswith("--model=")] == ["serve", "--port=8080"]
    assert (
        document["spec"]["template"]["spec"]["containers"][0]
        == untouched["spec"]["template"]["spec"]["containers"][0]
    )
    assert document["spec"]["unknownField"] == {"kept": True}
    assert document["metadata"]["annotations"]["other.org/kept"] == "yes"


def test_an_empty_colour_wakes_with_its_replicas() -> None:
    document = deployment(replicas=0)
    put(document, "green", {"soil-clay": 1}, "soil:2@sha256:" + "0" * 64, "today")
    assert document["spec"]["replicas"] == 3
    assert read_slot("green", document).image == "soil:2@sha256:" + "0" * 64


def test_what_a_slot_knew_of_its_former_content_goes() -> None:
    document = deployment("--model=soil-clay=1")
    note(document, {TEST: "passed", LIVE_UNTIL: "yesterday"})
    assert read_slot("blue", document).test == "passed"
    put(document, "blue", {"soil-clay": 2}, "", "today")
    slot = read_slot("blue", document)
    assert (slot.test, slot.live_until) == ("", "")


def test_the_release_name_is_of_the_content() -> None:
    assert release_name({"a": 1, "b": 2}, "i") == release_name({"b": 2, "a": 1}, "i")
    assert len({release_name({"a": 1}, "i"), release_name({"a": 2}, "i"), release_name({"a": 1}, "j")}) == 3


def test_switching_is_a_selector() -> None:
    slots = {"blue": deployment("--model=soil-clay=1"), "green": deployment("--model=soil-clay=2")}
    live, preview = service("blue"), service("green")
    assert read_state(live, preview, slots).live.models == {"soil-clay": 1}
    select(live, "green")
    select(preview, "blue")
    state = read_state(live, preview, slots)
    assert (state.live.models, state.idle.models) == ({"soil-clay": 2}, {"soil-clay": 1})


@pytest.mark.parametrize(
    "text", ["soil-clay", "soil-clay=0", "soil-clay=x", "=1", "a b=1", "soil-clay=1 --host=x", "x=-1"]
)
def test_what_is_no_model_and_version_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="soil-clay=3"):
        model_versions([text])


def test_a_model_is_named_once() -> None:
    with pytest.raises(BadInput, match="named twice"):
        model_versions(["soil-clay=1", "soil-clay=2"])


@pytest.mark.parametrize(
    ("live", "preview", "says"),
    [
        (service("blue"), service("blue"), "same colour"),
        (service("red"), service("blue"), "selects no colour"),
        ({"spec": {}}, service("blue"), "spec.selector"),
        ({"spec": None}, service("blue"), "part of the manifest is missing"),
    ],
)
def test_services_that_do_not_name_the_two_colours(live: Any, preview: Any, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        read_state(live, preview, {"blue": deployment(), "green": deployment()})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"containers": []}, "container named serve"),
        ({"containers": [{"name": "serve", "args": "serve"}]}, "list of arguments"),
        ({"containers": [{"name": "serve", "args": None}]}, "list of arguments"),
    ],
)
def test_deployments_that_are_not_ours(change: dict[str, Any], says: str) -> None:
    document = deployment()
    document["spec"]["template"]["spec"] = change
    with pytest.raises(BadInput, match=says):
        put(document, "blue", {"soil-clay": 1}, "", "today")


@pytest.mark.parametrize("image", ["soil:1 --privileged", "Soil", "x@sha256:1", "$(id)", "a\nb"])
def test_what_is_no_image_is_refused(image: str) -> None:
    with pytest.raises(BadInput, match="not the name of an image"):
        put(deployment(), "blue", {"soil-clay": 1}, image, "today")


ROW = {"value": 20.0, "lower_90": 15.0, "upper_90": 25.0, "inside": True}


def smoke(served: list[Any], **changes: Any) -> Any:
    said = {"latencies_ms": [5.0] * len(served), "errors": (), "refuses_nonsense": True, **changes}
    return judge({"soil-clay": [ROW] * len(served)}, Observed({"soil-clay": served}, **said), Limits())


def test_the_same_predictions_pass_with_their_figures() -> None:
    verdict = smoke([dict(ROW)] * 20)
    assert verdict.passed
    assert verdict.figures["spectra"] == verdict.figures["requests"] == 20
    assert "20 spectra, 20 requests, 0 failed" in verdict.in_words()


@pytest.mark.parametrize(
    ("served", "changes", "says"),
    [
        ([ROW | {"value": 20.001}] * 5, {}, "apart from the registry's model"),
        ([ROW | {"upper_90": None}] * 5, {}, "upper_90 is there on one side only"),
        ([ROW | {"inside": False}] * 5, {}, "inside the domain or not"),
        ([ROW] * 5, {"latencies_ms": [600.0] * 5}, "p95 latency 600 ms"),
        (
            [ROW] * 4 + [None],
            {"latencies_ms": [5.0] * 4, "errors": ["status 500"]},
            "1 of 5 requests failed: status 500",
        ),
        ([ROW] * 5, {"refuses_nonsense": False}, "means nothing"),
        ([], {"latencies_ms": []}, "nothing is known"),
        ([None] * 5, {"latencies_ms": [], "errors": ["refused"] * 5}, "5 of 5 requests failed"),
    ],
)
def test_what_fails_says_why(served: list[Any], changes: dict[str, Any], says: str) -> None:
    verdict = smoke(served, **changes)
    assert not verdict.passed
    assert says in verdict.in_words()


def test_answers_that_are_missing_are_no_agreement() -> None:
    verdict = judge({"soil-clay": [ROW] * 3}, Observed({}, [5.0] * 3), Limits())
    assert not verdict.passed
    assert "0 of 3 spectra were answered" in verdict.in_words()


def test_a_value_that_is_not_finite_is_compared_too() -> None:
    row = ROW | {"upper_90": math.inf}
    assert judge({"m": [row]}, Observed({"m": [row]}, [1.0]), Limits()).passed
    assert not judge({"m": [row]}, Observed({"m": [ROW]}, [1.0]), Limits()).passed
