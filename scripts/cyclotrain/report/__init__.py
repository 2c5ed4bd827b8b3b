"""What people read of a run. Rules `model_card`, `summarise` and `summarise_folds`."""
