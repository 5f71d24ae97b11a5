"""The ensemble commands: `python -m hpa_hier.ensemble`."""

from hpa_hier.cli.command import run
from hpa_hier.cli.ensemble import main

if __name__ == "__main__":
    run(main)
