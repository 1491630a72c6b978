"""Metric learning: training, evaluation, checkpoints and promotion."""
