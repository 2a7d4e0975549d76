"""Fashion-MNIST: the same lifecycle on images that come as IDX files."""
