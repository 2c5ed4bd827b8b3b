"""Run: python -m cyclotrain.weaver data.yaml --data "HToBB:/data/HToBB_*.root" > my.yaml (docs/from-weaver.md)."""

import sys

from cyclotrain.weaver.convert import main

sys.exit(main())
