"""What our speed is in units of the limit, from one run on one machine: `make bench`."""
