"""The taxonomy commands: `python -m hpa_hier.taxonomy`."""

from hpa_hier.cli.command import run
from hpa_hier.cli.taxonomy import main

if __name__ == "__main__":
    run(main)
