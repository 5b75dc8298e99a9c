"""What ``workspace.yaml`` loads. Importing this module imports dagster and nothing heavier."""

from soil_assets.defs.build import build_definitions

defs = build_definitions()
