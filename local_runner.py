"""Starts the command line from a checkout: `python local_runner.py run` is `caption-pipeline run`."""

import sys

from pipeline.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
