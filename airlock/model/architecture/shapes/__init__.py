"""Shapes, dtypes and counts of weights, computed without Keras; held to Keras itself by a differential test."""

from airlock.model.architecture.shapes import arranging, convolution, core, merging, recurrent
from airlock.model.architecture.shapes.rules import Made, Misfit, Rule, Tensor

RULES: dict[str, Rule] = {
    **core.RULES,
    **convolution.RULES,
    **arranging.RULES,
    **merging.RULES,
    **recurrent.RULES,
}

__all__ = ["RULES", "Made", "Misfit", "Rule", "Tensor"]
