"""What ``workspace.yaml`` loads. Importing this module imports dagster and nothing heavier."""

from soil_assets.defs.build import build_definitions
from soil_assets.defs.sqlite_engines import reuse_engines

defs = build_definitions()
reuse_engines()  # a run's worker has opened its instance before it comes here
