"""When assets ask to be materialized: named automation conditions, each saying why it is what it is."""

from __future__ import annotations

from dagster import AssetSelection, AutomationCondition

#: What every batch is measured against: made anew from the same data, it changes no verdict.
_SHARED = AssetSelection.assets("reference_spectra", "landmark_features")


def after_passed_gates() -> AutomationCondition:
    """Materialize a partition when its inputs changed and every blocking check upstream passed.

    ``eager()`` alone does not wait for checks, and asks for every batch again whenever the golden reference was
    materialized, with other content or not.
    """
    updated = AutomationCondition.any_deps_updated().ignore(_SHARED)
    altered = AutomationCondition.any_deps_match(AutomationCondition.data_version_changed()).allow(_SHARED)
    changed: AutomationCondition = (updated | altered).with_label("inputs_changed")
    eager = AutomationCondition.eager().replace("any_deps_updated", changed)
    return (eager & AutomationCondition.all_deps_blocking_checks_passed()).with_label("after_passed_gates")


def whenever_a_batch_is_judged() -> AutomationCondition:
    """Materialize the training set after any batch went through the drift gate, passed or not.

    Missing partitions must not stop it (one unreadable batch would hold training for ever), and failed checks need
    not: the training set reads the verdict of every batch itself.
    """
    return (
        AutomationCondition.any_deps_updated().since_last_handled()
        & ~AutomationCondition.any_deps_in_progress()
        & ~AutomationCondition.in_progress()
    ).with_label("whenever_a_batch_is_judged")


def when_data_changed() -> AutomationCondition:
    """Retrain only when the *content* of the training set changed and its gates passed.

    A training set that was built again from the same batches has the same data version and retrains nothing.
    """
    changed = AutomationCondition.any_deps_match(AutomationCondition.data_version_changed())
    return (
        (changed | AutomationCondition.newly_missing()).since_last_handled()
        & AutomationCondition.all_deps_blocking_checks_passed()
        & ~AutomationCondition.any_deps_missing()
        & ~AutomationCondition.any_deps_in_progress()
        & ~AutomationCondition.in_progress()
    ).with_label("when_data_changed")


def when_training_set_changed() -> AutomationCondition:
    """Bring the total of batch statistics up to date when the training set or the features changed.

    Not when a batch's statistics did: a batch that is held has some, or none, and must neither start nor stop this.
    """
    decisive = AssetSelection.assets("training_set", "landmark_features")
    asset_changed = AutomationCondition.any_deps_match(AutomationCondition.data_version_changed())
    changed: AutomationCondition = asset_changed.allow(decisive) | AutomationCondition.newly_missing()
    return (
        changed.since_last_handled()
        & AutomationCondition.all_deps_blocking_checks_passed().allow(decisive)
        & ~AutomationCondition.any_deps_missing().allow(decisive)
        & ~AutomationCondition.any_deps_in_progress()
        & ~AutomationCondition.in_progress()
    ).with_label("when_training_set_changed")


def whatever_the_gates_say() -> AutomationCondition:
    """Materialize the report after anything it tells of changed: a failed gate is what it is there to report."""
    return (
        AutomationCondition.any_deps_updated().since_last_handled()
        & ~AutomationCondition.any_deps_in_progress()
        & ~AutomationCondition.in_progress()
    ).with_label("whatever_the_gates_say")


def while_missing() -> AutomationCondition:
    """Materialize what has no inputs while it is missing; ``merged_changes`` does it again on new code.

    Without ``newly_true()``: on an instance that starts empty nothing *becomes* missing. A run that failed is not
    repeated by itself: the same data would fail again.
    """
    return (
        AutomationCondition.missing()
        & ~AutomationCondition.in_progress()
        & ~AutomationCondition.execution_failed()
    ).with_label("while_missing")


def after_any_registration() -> AutomationCondition:
    """Materialize the staged release after any property's version was registered.

    ``eager()`` would wait until every property has one, and a property whose gates say no would hold the others back.
    """
    return (
        AutomationCondition.any_deps_updated().since_last_handled()
        & ~AutomationCondition.any_deps_in_progress()
        & ~AutomationCondition.in_progress()
    ).with_label("after_any_registration")
