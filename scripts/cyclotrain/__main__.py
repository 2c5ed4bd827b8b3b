"""Run: python -m cyclotrain fetch top_tagging (docs/public-data-sets.md)."""

import sys

from cyclotrain.fetch.command import main

sys.exit(main())
