"""What tests share."""

import os
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
# how often each test runs that looks for a race
REPEATS = range(1, 1 + int(os.environ.get("CYCLOTRAIN_REPEATS", "1")))
