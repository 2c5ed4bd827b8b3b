"""The model: features in the graph, and the networks behind them."""
