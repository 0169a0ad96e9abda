#!/bin/sh
# Prints the Python to make .venv with: $PYTHON if set, else the first that fits.
set -eu

between() { "$1" -c "import sys; sys.exit(not ($2) <= sys.version_info[:2] <= ($3))" >/dev/null 2>&1; }
has_venv() { "$1" -c 'import ensurepip, venv' >/dev/null 2>&1; }

without_venv=
try() {
    between "$1" "$2" "$3" || return 0
    if has_venv "$1"; then
        echo "$1"
        exit
    fi
    without_venv=${without_venv:-$1}
}

if [ -n "${PYTHON:-}" ]; then
    try "$PYTHON" 3,10 9,9
else
    # The pins are tried with 3.10 to 3.13; anything newer is the last choice.
    for python in python3 python3.13 python3.12 python3.11 python3.10; do try "$python" 3,10 3,13; done
    try python3 3,10 9,9
fi
if [ -n "$without_venv" ]; then
    echo "mapush: $without_venv cannot make a venv; install its venv package (Debian: apt-get install python3-venv)" >&2
else
    echo "mapush: found no Python 3.10 or newer (${PYTHON:-python3, python3.10 to python3.13}); install one, or say where it is: make PYTHON=..." >&2
fi
exit 2
