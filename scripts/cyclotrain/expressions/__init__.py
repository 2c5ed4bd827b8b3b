"""The expression language of the configuration: its grammar, its functions, and the awkward backend."""

from cyclotrain.expressions.language import Expression, ExpressionError

__all__ = ["Expression", "ExpressionError"]
