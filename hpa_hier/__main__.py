"""All commands: `python -m hpa_hier`, which `hpa-hier` is short for."""

from hpa_hier.cli.main import main

if __name__ == "__main__":
    main()
