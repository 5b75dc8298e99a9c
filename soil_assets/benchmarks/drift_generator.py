"""Made-up spectra for sizes that no real set here has.

Belongs here: the generator. Does not belong here: any figure about soils; what is measured with it is shown apart.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from soil_assets.spectra.axis import Axis
from soil_assets.spectra.batch import SpectralBatch


def smooth_spectra(n: int, seed: int, change: float = 0.0) -> SpectralBatch:
    """Generate absorbance of ``n`` scans, 600-4000 cm-1 at 2: sums of 40 Gaussian bands with lognormal
    heights.

    A stand-in for sizes that no real set here has; no error rate of the table is taken from it. ``change``
    raises every height by that share.
    """
    axis = Axis.regular(600.0, 4000.0, 2.0, "cm-1")
    fixed = np.random.default_rng(7)
    centres, widths = fixed.uniform(600, 4000, 40), fixed.uniform(20, 300, 40)
    bands = np.exp(-0.5 * ((axis.values - centres[:, None]) / widths[:, None]) ** 2).astype(np.float32)
    rng = np.random.default_rng(seed)
    spectra = np.empty((n, len(axis)), dtype=np.float32)
    for start in range(0, n, 10_000):
        rows = slice(start, min(start + 10_000, n))
        count = rows.stop - rows.start
        heights = rng.lognormal(-1.0, 0.4, (count, 40)).astype(np.float32) * np.float32(1 + change)
        spectra[rows] = heights @ bands + 1e-4 * rng.standard_normal((count, len(axis)), dtype=np.float32)
    samples = pd.DataFrame({"sample_id": np.arange(n).astype(str), "clay": rng.normal(20, 5, n)})
    return SpectralBatch(samples, spectra, axis, "absorbance")
