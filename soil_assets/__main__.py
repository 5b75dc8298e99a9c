"""``python -m soil_assets`` is ``soil``."""

from soil_assets.cli import main

main()
