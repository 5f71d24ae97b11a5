"""A command like a training, but of no time: it counts, saves, resumes, locks its folder, and stops when asked to.

`python -m toy_member FOLDER STEPS [--fold I] [--restart] [--fail] --device NAME`
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from pathlib import Path

from filelock import FileLock, Timeout

STEP = 0.02  # seconds


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("steps", type=int)
    parser.add_argument("--fold", type=int)
    parser.add_argument("--device")
    parser.add_argument("--restart", action="store_true")
    parser.add_argument("--fail", action="store_true")
    options = parser.parse_args()
    folder = options.folder / f"fold-{options.fold - 1}" if options.fold else options.folder
    checkpoint, asked = folder / "last.ckpt", []
    signal.signal(signal.SIGTERM, lambda *_: asked.append(True))
    if options.fail:
        print("error: nothing to train")
        return 2
    try:
        with FileLock(folder / "lock", timeout=0):
            if options.restart:
                checkpoint.unlink(missing_ok=True)
                (folder / "member.json").unlink(missing_ok=True)
            step = int(checkpoint.read_text()) if checkpoint.exists() else 0
            print(f"begun at step {step} on {options.device}{', anew' if options.restart else ''}", flush=True)
            (folder / "process").write_text(f"{os.getpid()} {os.getppid()}")
            while step < options.steps:
                time.sleep(STEP)
                step += 1
                checkpoint.with_suffix(".new").write_text(str(step))
                checkpoint.with_suffix(".new").rename(checkpoint)
                if asked:
                    return 130
            (folder / "member.json").write_text(str(step))
            print(f"{folder.name}: done")
    except Timeout:
        print("error: another process is training this member")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
