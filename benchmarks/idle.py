"""A number from a loaded machine is not a number: every benchmark here measures inside `Quiet`, or not at all."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from handrail.core.provenance import command_line, git_hash, machine

LIMIT_CORES = 0.1  # what others may use, before and during
LOOK_S = 1.0


def parser(description: str) -> argparse.ArgumentParser:
    """Return a parser with the flags that all benchmarks share."""
    flags = argparse.ArgumentParser(description=description)
    flags.add_argument("--wait", type=float, default=0.0, metavar="S", help="wait up to S seconds for an idle machine")
    flags.add_argument("--smoke", action="store_true", help="few repetitions, loaded or not: does it run? No result")
    flags.add_argument("--out", type=Path, help="also write the JSON here")
    return flags


class Quiet:
    """Refuses to start on a loaded machine, and refuses what it measured if others worked meanwhile.

    Args:
        options: of `parser`; in a smoke run nothing is refused.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self.smoke, self.wait_s = bool(options.smoke), float(options.wait)
        self.others_cores = 0.0

    def __enter__(self) -> Quiet:
        deadline_s = time.monotonic() + self.wait_s
        busy = others_busy(LOOK_S)
        while busy > LIMIT_CORES and not self.smoke:
            if time.monotonic() > deadline_s:
                refuse(f"other work uses {busy:.2f} cores, the limit is {LIMIT_CORES}: stop it, or pass --wait SECONDS")
            busy = others_busy(LOOK_S)
        self._started = Usage()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.others_cores = self._started.others_since()
        if error is None and self.others_cores > LIMIT_CORES and not self.smoke:
            refuse(
                f"other work used {self.others_cores:.2f} cores during the measurement, the limit is {LIMIT_CORES}: "
                "nothing is reported, run it again on an idle machine"
            )


def refuse(line: str) -> None:
    """Say why there is no result, and leave with code 2."""
    sys.stderr.write(f"{Path(sys.argv[0]).name}: {line}\n")
    raise SystemExit(2)


class Usage:
    """CPU seconds of the machine and of this process, at one moment."""

    def __init__(self) -> None:
        self.wall_s, self.machine_s, self.own_s = time.monotonic(), machine_busy_s(), own_busy_s()

    def others_since(self) -> float:
        """Return the cores that other processes used, on average, since this moment."""
        now = Usage()
        others_s = (now.machine_s - self.machine_s) - (now.own_s - self.own_s)
        return max(0.0, others_s) / max(1e-9, now.wall_s - self.wall_s)


def others_busy(seconds: float) -> float:
    """Return the cores that other processes use, watched for `seconds`."""
    before = Usage()
    time.sleep(seconds)
    return before.others_since()


def machine_busy_s() -> float:
    """Return the CPU seconds that all processes have used since boot (user, nice, system, irq, softirq, steal)."""
    try:
        fields = Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
    except OSError:
        refuse("there is no /proc/stat, so nobody knows whether the machine is idle: measure on Linux")
        raise
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, fields)
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def own_busy_s() -> float:
    """Return the CPU seconds of this process, its threads, and its children that have ended."""
    return sum(os.times()[:4])


def report(result: Mapping[str, object], quiet: Quiet, options: argparse.Namespace) -> int:
    """Print a result with its provenance, and write it where `--out` says; a smoke run says that it is none."""
    state = {"smoke": True} if quiet.smoke else {"others_cores": round(quiet.others_cores, 3)}
    kept = {key: value for key, value in result.items() if not (quiet.smoke and key.startswith("met"))}
    whole = {**kept, **state, "git": git_hash(), "command": command_line(), "machine": machine()}
    text = json.dumps(whole, indent=1)
    print(text)
    if options.out is not None and not quiet.smoke:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(text + "\n")
    return 0
