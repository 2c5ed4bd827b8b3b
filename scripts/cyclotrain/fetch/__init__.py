"""`python -m cyclotrain fetch`: public data sets as ROOT files. It serves no rule."""
