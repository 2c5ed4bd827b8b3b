"""weaver's data configs as Cyclotrain configs."""
