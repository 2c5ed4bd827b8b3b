"""The expression language of the configuration: its grammar, its functions, and their evaluation on awkward arrays."""

from cyclotrain.expressions.language import Expression, ExpressionError

__all__ = ["Expression", "ExpressionError"]
