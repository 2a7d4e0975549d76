"""Sources, cleaning, validation and splitting: from raw bytes to a dataset version."""
