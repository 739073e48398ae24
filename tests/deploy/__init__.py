"""Manifests, image, alarms and dashboard: what `deploy/` says agrees with what the programs read and serve."""
