"""Tests of the model pipeline."""
