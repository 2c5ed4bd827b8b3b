"""The model: features computed in the graph, then a network."""
