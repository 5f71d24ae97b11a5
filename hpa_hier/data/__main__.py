"""The data commands: `python -m hpa_hier.data`."""

from hpa_hier.cli.command import run
from hpa_hier.cli.data import main

if __name__ == "__main__":
    run(main)
