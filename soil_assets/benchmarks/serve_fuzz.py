"""The prediction service asked whatever its OpenAPI allows, and what it does not, by schemathesis.

Belongs here: generating, sending, counting. Does not belong here: starting a service (``bench_serve``).

A third of the cases is valid by the description, a third is not, and a third is valid with an axis that covers the
models', so that it reaches them: a random axis hardly ever does.
"""

from __future__ import annotations

import io
from collections import Counter
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from typing import Any

HANG_SECONDS = 10.0
_COVERING = {"unit": "cm-1", "first": 4000.0, "last": 400.0}


@dataclass
class Fuzzed:
    """What came of it.

    Parameters
    ----------
    cases : int
        Requests sent.
    statuses : Counter
        Answers by status.
    server_errors, hangs : int
        Answers of 500 and above; requests without an answer within ten seconds.
    nonconforming : Counter
        Answers that break the description, by what they break.
    examples : list of str
        One request of each kind of failure, to send again.
    """

    cases: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    server_errors: int = 0
    hangs: int = 0
    nonconforming: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)


def fuzz(address: str, cases: int, seed: int = 20260101) -> Fuzzed:
    """Send ``cases`` generated requests to the service at ``address``.

    Parameters
    ----------
    address : str
        Of a running service that needs no key.
    cases : int
        Spread over the operations and kinds; at least so many are sent.
    seed : int
        Of the generation.
    """
    import schemathesis
    from schemathesis import GenerationMode
    from schemathesis.specs.openapi.checks import positive_data_acceptance

    schema = schemathesis.openapi.from_url(f"{address}/openapi.json")
    outcome = Fuzzed()
    # No schema can say 'covers the range of the models': that valid data are accepted is not asked for.
    apart = [positive_data_acceptance]
    predict = schema["/v1/predict"]["POST"]
    operations: list[Any] = [r.ok() for r in schema.get_all_operations()]  # type: ignore[union-attr]
    others = [o for o in operations if o.path != "/v1/predict"]
    share = -(-cases * 95 // 300)
    for kind, mode in enumerate((GenerationMode.POSITIVE, GenerationMode.NEGATIVE, GenerationMode.POSITIVE)):
        strategy = predict.as_strategy(generation_mode=mode)
        if kind == 2:
            strategy = strategy.map(_reaching_the_models)
        _send(strategy, share, seed + kind, outcome, apart)
    rest = max(1, -(-max(0, cases - outcome.cases) // len(others)))
    for operation in others:
        _send(
            operation.as_strategy(generation_mode=GenerationMode.POSITIVE),
            rest,
            seed,
            outcome,
            apart,
            fill=True,
        )
    return outcome


def _reaching_the_models(case: Any) -> Any:
    if isinstance(case.body, dict):
        case.body = {**case.body, "axis": dict(_COVERING)}
        case.query = {}
    return case


def _send(
    strategy: Any, cases: int, seed: int, outcome: Fuzzed, apart: list[Any], *, fill: bool = False
) -> None:
    """Draw until ``cases`` were sent; hypothesis stops early where it knows no more, so ``fill`` repeats."""
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import seed as seeded

    sent = 0

    while sent < cases:
        before = sent

        @seeded(seed + sent)
        @settings(
            max_examples=cases - sent, deadline=None, database=None, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck), print_blob=False,
        )  # fmt: skip
        @given(strategy)
        def ask(case: Any) -> None:
            nonlocal sent
            sent += 1
            _ask(case, outcome, apart)

        with redirect_stdout(io.StringIO()):
            ask()
        if sent == before or not fill:
            return


def _ask(case: Any, outcome: Fuzzed, apart: list[Any]) -> None:
    import requests
    from schemathesis.core.failures import FailureGroup

    outcome.cases += 1
    try:
        reply = case.call(timeout=HANG_SECONDS)
    except (requests.Timeout, requests.ConnectionError) as error:
        outcome.hangs += 1
        _remember(outcome, f"{type(error).__name__}: {case.as_curl_command()[:2000]}")
        return
    outcome.statuses[reply.status_code] += 1
    if reply.status_code >= 500:
        outcome.server_errors += 1
        _remember(outcome, case.as_curl_command()[:2000])
    try:
        case.validate_response(reply, excluded_checks=apart)
    except FailureGroup as group:
        for failure in group.exceptions:
            if not outcome.nonconforming[failure.title]:
                _remember(outcome, f"{failure.title}: {failure.message}: {case.as_curl_command()[:2000]}")
            outcome.nonconforming[failure.title] += 1


def _remember(outcome: Fuzzed, text: str) -> None:
    if len(outcome.examples) < 10:
        outcome.examples.append(text)
