"""Command `python -m deployments.weights`."""

import sys

from deployments.weights.manifest import main

if __name__ == "__main__":
    sys.exit(main())
