"""Classification by mixtures: one mixture per class, all fitted in the same passes."""
