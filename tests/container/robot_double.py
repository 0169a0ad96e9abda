"""Makes a directory of assets as small as can be: the same paths, shapes and joints, other content.

Run as a program: `python tests/container/robot_double.py DIR`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Dict

import torch
from torch import nn

from mapush.robots import assets
from mapush.robots.walking import HISTORY, OBSERVATION

_MESH = b"solid nothing\nendsolid nothing\n"
_FORWARD, _LEFT, _TURN = (HISTORY - 1) * OBSERVATION + 3 + torch.arange(3)


def make(directory: Path) -> Dict[str, str]:
    """Write the files and `double.json`, which the double of isaacgym takes their ids from."""
    for path in assets.FILES:
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        if path.endswith(".stl"):
            (directory / path).write_bytes(_MESH + path.encode())
    (directory / assets.ROBOT).write_text(go1_urdf(), encoding="utf-8")
    save(adaptation(), directory / assets.ADAPTATION)
    save(body(), directory / assets.BODY)
    save(actuator(), directory / assets.ACTUATOR)
    ids = {path: assets.blob_id((directory / path).read_bytes()) for path in assets.FILES}
    (directory / "double.json").write_text(json.dumps(ids), encoding="utf-8")
    return ids


def save(network: nn.Module, path: Path) -> None:
    torch.jit.script(network).save(str(path))


def adaptation() -> nn.Linear:
    return _linear(HISTORY * OBSERVATION, 2)


def body() -> nn.Linear:
    """Joint actions straight from the newest command, so that the double's robots obey it."""
    network = _linear(HISTORY * OBSERVATION + 2, 12)
    with torch.no_grad():
        network.weight[0::3, _LEFT] = 2.0  # hips
        network.weight[1::3, _FORWARD] = 1.0  # thighs
        network.weight[[2, 8], _TURN] = 8.0  # left calves
        network.weight[[5, 11], _TURN] = -8.0
    return network


def actuator() -> nn.Linear:
    network = _linear(6, 1)
    with torch.no_grad():
        network.weight[0] = torch.tensor([-20.0, 0.0, 0.0, -0.5, 0.0, 0.0])
    return network


def _linear(size: int, out: int) -> nn.Linear:
    network = nn.Linear(size, out)
    nn.init.zeros_(network.weight)
    nn.init.zeros_(network.bias)
    return network


def go1_urdf() -> str:
    """A trunk and four legs of three joints; the right legs come first, as in the real file."""
    parts = [
        '<link name="base"/>',
        '<joint name="floating_base" type="fixed"><parent link="base"/>'
        '<child link="trunk"/></joint>',
        _link("trunk", 5.0, '<box size="0.38 0.09 0.11"/>', "trunk"),
    ]
    for leg in ("FR", "FL", "RR", "RL"):
        above = "trunk"
        for name, axis in (("hip", "1 0 0"), ("thigh", "0 1 0"), ("calf", "0 1 0")):
            link = f"{leg}_{name}"
            parts.append(
                f'<joint name="{link}_joint" type="revolute"><parent link="{above}"/>'
                f'<child link="{link}"/><axis xyz="{axis}"/>'
                '<limit effort="33.5" lower="-3" upper="3" velocity="28"/></joint>'
            )
            parts.append(_link(link, 0.5, '<box size="0.2 0.02 0.03"/>', name))
            above = link
        parts.append(
            f'<joint name="{leg}_foot_fixed" type="fixed" dont_collapse="true">'
            f'<parent link="{above}"/><child link="{leg}_foot"/></joint>'
        )
        parts.append(_link(f"{leg}_foot", 0.06, '<sphere radius="0.02"/>'))
    return "<robot name='go1'>\n" + "\n".join(parts) + "\n</robot>\n"


def _link(name: str, mass: float, shape: str, mesh: str = "") -> str:
    visual = f'<geometry><mesh filename="../meshes/{mesh}.stl"/></geometry>' if mesh else ""
    return (
        f'<link name="{name}"><inertial><mass value="{mass}"/>'
        '<inertia ixx="0.01" ixy="0" ixz="0" iyy="0.01" iyz="0" izz="0.01"/></inertial>'
        f'<collision><origin xyz="0 0 0"/><geometry>{shape}</geometry></collision>'
        + (f"<visual>{visual}</visual>" if visual else "")
        + "</link>"
    )


if __name__ == "__main__":
    make(Path(sys.argv[1]))
