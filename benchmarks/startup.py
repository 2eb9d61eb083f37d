"""Seconds from `python launch.py ...` to the end of the first training step.

  python -m benchmarks.startup --config=configs/quickstart.py --config.data.data_dir=data

Runs the real command in a new workdir, reads its log, and stops it after the first step. The first
run fills an empty compilation cache and is shown as "cold"; the others use this cache, as every
later run of a config does. Arguments that this script does not define are passed to launch.py.

The phases are those that launch.py logs with --verbosity=0, each as "start-up: PHASE".
"""

import argparse
import json
import pathlib
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time

_MARK = re.compile(r"start-up: (.+)|(first step) done")
_ROOT = pathlib.Path(__file__).resolve().parents[1]


def start_once(arguments: list[str], cache: str) -> dict[str, float]:
    """{phase: seconds from the start of the process to the end of the phase}, in order."""
    phases = {}
    cpu_before = _cpu_seconds_of_children()
    with tempfile.TemporaryDirectory() as workdir:
        command = [
            *(sys.executable, "launch.py", f"--workdir={workdir}/run", "--verbosity=0"),
            *(f"--compilation_cache={cache}", *arguments),
        ]
        start = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=_ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, encoding="utf-8"
        )
        assert process.stderr is not None
        log = []
        try:
            for line in process.stderr:
                log.append(line)
                if mark := _MARK.search(line):
                    phases[mark[1] or mark[2]] = time.perf_counter() - start
                    if mark[2]:
                        break
        finally:
            process.kill()
            process.wait()
    if "first step" not in phases:
        raise SystemExit(
            f"{' '.join(command)}\ndid not reach the first step:\n{''.join(log[-40:])}"
        )
    return phases | {"(CPU seconds)": _cpu_seconds_of_children() - cpu_before}


def _cpu_seconds_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Runs the benchmark and prints the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=3, help="number of runs with the warm cache")
    parser.add_argument("--output", type=pathlib.Path, help="a JSON file for the results")
    args, arguments = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as cache:
        cold = start_once(arguments, cache)
        warm = [start_once(arguments, cache) for _ in range(args.runs)]
    print(f"{' '.join(arguments)}\n{'seconds until':32} cold   warm: median (min to max)")
    for phase in cold:
        values = [run[phase] for run in warm]
        print(
            f"{phase:30} {cold[phase]:6.1f}   {statistics.median(values):12.1f} "
            f"({min(values):.1f} to {max(values):.1f})"
        )
    if args.output:
        report = {"arguments": arguments, "cold": cold, "warm": warm}
        args.output.write_text(json.dumps(report, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
