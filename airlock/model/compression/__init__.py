"""Makes a trained model smaller or faster: interchangeable methods, chains of them, what each costs, and a rule that
picks."""
