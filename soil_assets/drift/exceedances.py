"""How many samples of a batch may lie beyond a model's frozen limits.

Belongs here: the test of a count against its beta-binomial distribution. Does not belong here: the limits
themselves and the interval of a count, which are ``modeling.applicability``'s.
"""

from __future__ import annotations

import numpy as np

from soil_assets.drift.two_sample import Tested
from soil_assets.errors import BadInput
from soil_assets.modeling.applicability import limit_rank


def exceedance_test(
    name: str, count: int, n: int, *, rate: float, reference_n: int, permutations: int, seed: int
) -> Tested:
    """Test whether more of ``n`` samples exceed a limit than its own uncertainty allows.

    The limit is an order statistic of ``reference_n`` held-out values, so the count in a batch like the
    reference is BetaBin(n, reference_n + 1 - k, k) (Vovk 2012); a plain binomial alarms 11-20 % of the time
    where 1 % is meant. The null is drawn as often as there are permutations, so that the count joins the
    other tests. The effect is the share beyond the limit less the expected one.

    Raises
    ------
    BadInput
        When the count does not fit the number of samples.
    """
    if not 0 <= count <= n or n < 1 or reference_n < 1:
        raise BadInput(
            "the number of exceedances does not fit",
            column=name,
            found=f"{count} of {n}",
            expected="0 to n, n >= 1",
        )
    from scipy.stats import betabinom

    k = limit_rank(reference_n, rate)
    null = betabinom(n, reference_n + 1 - k, k)
    # log10 P(count >= 0), P(count >= 1), ...: summed from the far end, where the terms are smallest
    log_survival = np.logaddexp.accumulate(null.logpmf(np.arange(n, -1, -1)))[::-1] / np.log(10)
    score = -np.maximum(log_survival, -300.0)
    generator = np.random.default_rng([seed, n, reference_n, sum(name.encode())])
    drawn = generator.binomial(n, generator.beta(reference_n + 1 - k, k, size=permutations))
    counts = np.concatenate([[count], drawn]).astype(np.intp)

    def statistic_at(wanted: float) -> float:
        beyond = np.flatnonzero(score >= wanted)
        return float(beyond[0]) if beyond.size else float(n + 1)

    effect = max(count / n - (1.0 - k / (reference_n + 1)), 0.0)
    return Tested("exceedances", name, counts.astype(np.float64), score[counts], effect, statistic_at)
