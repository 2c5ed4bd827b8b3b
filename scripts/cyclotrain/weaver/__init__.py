"""Converts weaver's data configs into Cyclotrain configs."""
