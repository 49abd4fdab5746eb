"""What a fitted mixture says of rows: labels, posteriors, log densities, anomalies."""
