"""What every other folder stands on: errors, a rule's log, files that are whole or not there, where a result came from."""
