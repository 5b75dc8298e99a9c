"""Great Expectations evaluates the quality gate's expectations.

Belongs here: translating :class:`Expectation` objects into a suite a table, running it in an ephemeral
context and translating failing rows back. Does not belong here: what is expected (``quality.rules``).
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from soil_assets.quality.expectations import Expectation, applicable, failures_table

#: Row number in the evaluated tables: it identifies a row even where the sample id is missing or repeated.
_ROW = "__row__"
_ID = "sample_id"


def evaluate(tables: Mapping[str, pd.DataFrame], expectations: Sequence[Expectation]) -> pd.DataFrame:
    """Evaluate expectations with Great Expectations; same contract as ``quality.expectations.evaluate``.

    Parameters
    ----------
    tables : mapping of str to DataFrame
        ``samples`` and ``figures``, one row a scan.
    expectations : sequence of Expectation
        Those whose column is absent are not evaluated.

    Returns
    -------
    DataFrame
        ``expectation`` (position), ``row`` (from 0), ``value`` and ``sample_id``; one row a failure.

    Raises
    ------
    RuntimeError
        When Great Expectations could not evaluate an expectation: an error is never taken for a pass.
    """
    positions = applicable(tables, expectations)
    parts = []
    for name in dict.fromkeys(expectations[i].table for i in positions):
        mine = [i for i in positions if expectations[i].table == name]
        columns = dict.fromkeys(expectations[i].column for i in mine)
        parts += _run_suite(name, _judged_table(tables[name], list(columns)), expectations, mine)
    return failures_table(parts)


def _judged_table(table: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    judged = table[columns].reset_index(drop=True)
    if _ID not in judged.columns and _ID in table.columns:
        judged[_ID] = table[_ID].array
    judged[_ROW] = np.arange(len(table), dtype=np.int64)
    return judged


def _run_suite(
    name: str, table: pd.DataFrame, expectations: Sequence[Expectation], positions: list[int]
) -> list[pd.DataFrame]:
    gx = _library()
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}
    asset = context.data_sources.add_pandas("soil_assets").add_dataframe_asset(name)
    batch = asset.add_batch_definition_whole_dataframe("landed").get_batch({"dataframe": table})
    suite = gx.ExpectationSuite(name=name, expectations=[_translate(expectations[i], i) for i in positions])
    identify = [_ROW, _ID] if _ID in table.columns else [_ROW]
    result = batch.validate(
        suite, result_format={"result_format": "COMPLETE", "unexpected_index_column_names": identify}
    )
    return [_failures(outcome, expectations, table) for outcome in result.results]


def _library() -> Any:
    # Set before the import: the library reads it once, and a gate must not call home.
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    with warnings.catch_warnings():
        # The library's file connector imports these modules of the standard library.
        warnings.filterwarnings("ignore", "module 'sre_(constants|parse)' is deprecated", DeprecationWarning)
        import great_expectations as gx
    return gx


def _translate(expectation: Expectation, position: int) -> Any:
    import great_expectations.expectations as gxe

    common: dict[str, Any] = {
        "column": expectation.column,
        "severity": expectation.severity,
        "meta": {"position": position, "rule": expectation.rule, "check": expectation.check},
        "notes": f"{expectation.expected}. Mend: {expectation.mend}",
    }
    if expectation.kind == "not_null":
        return gxe.ExpectColumnValuesToNotBeNull(**common)
    if expectation.kind == "is_null":
        return gxe.ExpectColumnValuesToBeNull(**common)
    if expectation.kind == "between":
        return gxe.ExpectColumnValuesToBeBetween(
            min_value=expectation.low, max_value=expectation.high, **common
        )
    # Great Expectations anchors at the start; the pattern may match anywhere. \A keeps ^ at the very start.
    pattern = rf"(?s:.*?)(?:{expectation.pattern})"
    if expectation.kind == "matches":
        return gxe.ExpectColumnValuesToMatchRegex(regex=pattern, **common)
    return gxe.ExpectColumnValuesToNotMatchRegex(regex=pattern, **common)


def _failures(outcome: Any, expectations: Sequence[Expectation], table: pd.DataFrame) -> pd.DataFrame:
    position = int(outcome.expectation_config.meta["position"])
    expectation = expectations[position]
    error = (outcome.exception_info or {}).get("exception_message") if outcome.exception_info else None
    if error or (not outcome.success and "unexpected_index_list" not in outcome.result):
        raise RuntimeError(
            f"Great Expectations could not evaluate {expectation.rule} on {expectation.column}: {error}"
        )
    rows = [int(item[_ROW]) for item in outcome.result.get("unexpected_index_list") or []]
    return pd.DataFrame(
        {
            "expectation": position,
            "row": rows,
            "value": table[expectation.column].iloc[rows].astype(object).array,
            "sample_id": table[_ID].iloc[rows].astype(object).array if _ID in table.columns else None,
        }
    )
