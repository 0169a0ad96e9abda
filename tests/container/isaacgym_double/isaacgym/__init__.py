"""A strict double of Isaac Gym Preview 4's Python package, for tests on machines without a GPU.

Made from the names and signatures of its public API reference; nothing of NVIDIA's is in it. It
refuses what the API has not, what mapush does not need, and calls out of order; bodies move by
simple, deterministic kinematics in `_engine`, on the CPU.

If the directory of MAPUSH_ASSETS was made by `robot_double`, the ids of its files are expected
instead of those of the genuine ones.
"""

import json as _json
import os as _os
from pathlib import Path as _Path

IS_DOUBLE = True


def _expect_the_doubles_assets() -> None:
    from mapush.robots import assets

    described = _Path(_os.environ.get(assets.VARIABLE, "/nowhere")) / "double.json"
    if described.is_file():
        assets.FILES = _json.loads(described.read_text(encoding="utf-8"))


_expect_the_doubles_assets()
