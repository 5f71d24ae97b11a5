"""Run the demo: `python -m hpa_hier.demo`."""

from hpa_hier.cli.command import run
from hpa_hier.cli.demo import main

if __name__ == "__main__":
    run(main)
