"""Transform, training, evaluation and compression: from a dataset version to a candidate."""
