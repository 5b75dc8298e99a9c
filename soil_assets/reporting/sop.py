"""The criteria table of the SOP, made from the rules and the policy, so that page and verdict cannot part.

Belongs here: the rules in words with the policy's values in them. Does not belong here: applying the rules.
"""

from __future__ import annotations

from soil_assets.config import Policy
from soil_assets.reporting import markdown
from soil_assets.reporting.document import Document, Strong, Table, Text
from soil_assets.reporting.numerals import percent
from soil_assets.reporting.rules import RULES, Rule, blocks

#: The lines between which the SOP page keeps the generated table.
BEGIN, END = "<!-- criteria: generated from the policy -->", "<!-- end of criteria -->"


def criterion(rule: Rule, policy: Policy) -> str:
    """Return a rule's criterion with the policy's values filled in."""
    return rule.when.format(**_values(policy))


def criteria_table(policy: Policy) -> str:
    """Return the SOP's criteria as a Markdown table.

    Parameters
    ----------
    policy : Policy
        The thresholds in force.

    Returns
    -------
    str
        One row a rule, in the order in which they are applied.
    """
    table: list[list[Text]] = [
        [
            rule.number,
            criterion(rule, policy),
            Strong(rule.verdict),
            "fails" if blocks(rule, policy) else "passes",
            rule.then,
            rule.decides,
        ]
        for rule in RULES
    ]
    header = ("Rule", "When", "Verdict", "Status check", "Then", "Decides")
    return markdown.render(Document("", (Table(header, table),)))


def with_criteria(page: str, policy: Policy) -> str:
    """Return the SOP page with the table between its two marks made anew.

    Raises
    ------
    ValueError
        When the marks are not there once each.
    """
    if page.count(BEGIN) != 1 or page.count(END) != 1 or page.index(BEGIN) > page.index(END):
        raise ValueError("the SOP page needs one begin and one end mark around its criteria table")
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n{criteria_table(policy)}{END}{rest.split(END)[1]}"


def _values(policy: Policy) -> dict[str, str]:
    model = policy.model
    tolerated = "the other properties decide where one of them can tell"
    return {
        "level": percent(1 - model.alpha),
        "levels": ", ".join(percent(level) for level in model.levels),
        "margin": percent(model.margin),
        "min_rpiq": f"{model.min_rpiq:g}",
        "max_quarantined": percent(policy.quality.max_quarantined_share),
        "false_alarm": percent(policy.drift.false_alarm_rate, 1),
        "when_drift": policy.drift.when_drift,
        "when_cannot_tell": model.when_cannot_tell,
        "when_cannot_tell_words": "the change waits" if model.when_cannot_tell == "hold" else tolerated,
    }
