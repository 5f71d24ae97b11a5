"""Write the report: `python -m hpa_hier.report`."""

from hpa_hier.cli.command import run
from hpa_hier.cli.report import main

if __name__ == "__main__":
    run(main)
