"""Train members: `python -m hpa_hier.train`."""

from hpa_hier.cli.command import run
from hpa_hier.cli.train import main

if __name__ == "__main__":
    run(main)
