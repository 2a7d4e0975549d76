"""Near duplicates: which images look the same, which texts say the same."""
