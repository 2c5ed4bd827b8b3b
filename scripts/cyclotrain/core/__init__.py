"""What all other folders use: errors, logs, atomic files, provenance."""
