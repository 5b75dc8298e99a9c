"""The assets, a file a stretch of the flow: frozen sets, batches, training, decision and registry."""
