"""Steps of the checks of the app and of the page, which pass, fail or are skipped."""

import subprocess
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

LONGEST_OUTPUT = 6000  # characters of a failed program's output that are shown, the last ones


class Missing(Exception):
    """A tool that this machine lacks; the message is one sentence on where to get it."""


class Failed(Exception):
    """A step that failed."""


def made(path: Path) -> Path:
    """The result of an earlier step."""
    if not path.exists():
        raise Missing(f"{path.name} is missing, because an earlier step was skipped or failed.")
    return path


def run(command: Sequence[str | Path], noise: tuple[str, ...] = (), **options) -> str:
    """Run a command and return its output; on failure, raise `Failed` with it.

    Lines that begin with one of `noise` are left out of the message.
    """
    done = subprocess.run(
        [str(part) for part in command], text=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, check=False, **options,
    )  # fmt: skip
    if done.returncode != 0:
        lines = [line for line in done.stdout.splitlines() if not line.startswith(noise)]
        output = "\n".join(lines)[-LONGEST_OUTPUT:]
        raise Failed(f"{command[0]} ended with status {done.returncode}:\n{output}")
    return done.stdout


def run_steps(steps: Iterable[Callable[[], str | None]]) -> int:
    """Run all steps and print their results; the exit status is 1 if one failed."""
    counts = {"ok": 0, "skipped": 0, "FAILED": 0}
    for step in steps:
        title = (step.__doc__ or step.__name__).splitlines()[0]
        try:
            verdict, detail = "ok", step() or ""
        except Missing as missing:
            verdict, detail = "skipped", str(missing)
        except Failed as failed:
            verdict, detail = "FAILED", str(failed)
        counts[verdict] += 1
        print(f"{verdict:<8}  {title}{f'  ({detail})' if detail else ''}", flush=True)
    print(", ".join(f"{count} {verdict}" for verdict, count in counts.items()))
    return 1 if counts["FAILED"] else 0
