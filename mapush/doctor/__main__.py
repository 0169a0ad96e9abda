"""`python -m mapush.doctor`: what would make a job fail or lose work here, and the fix."""

from __future__ import annotations

from typing import List, Optional

from mapush.errors import exit_with


def main(arguments: Optional[List[str]] = None) -> int:
    """Run the command and return its exit code."""
    # Here, so that `exit_with` is told of a package that is not installed.
    from mapush.commands.doctor import main as command

    return command(arguments)


if __name__ == "__main__":
    exit_with(main)
