"""The verdicts of a run. Rule `gates`."""
