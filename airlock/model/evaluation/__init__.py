"""How good a model is on samples it never saw. Light to import: DAGs declare slices when they are parsed."""
