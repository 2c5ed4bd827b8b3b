"""Our speed relative to the best possible, from one run on one machine. Run: make bench"""
