"""Scores of rows under a fitted mixture: labels, posteriors, log densities, anomalies."""
