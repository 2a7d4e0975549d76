"""What holds the six persistence entities: one contract each, interchangeable backends behind it."""
