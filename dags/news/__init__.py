"""News: BBC articles in five classes, checked by two annotators."""
