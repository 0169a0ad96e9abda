"""Reads robot descriptions (URDF) as far as the double needs, and refuses what it cannot read."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Dict, List

from isaacgym._structures import AssetOptions


class Asset:
    """Counts and names after fixed joints are collapsed, and the radius of what collides."""

    def __init__(self, root: str, name: str, options: AssetOptions) -> None:
        self.path = Path(root) / name
        self.options = options.copy()
        if self.path.suffix != ".urdf":
            raise ValueError(f"{name}: the double reads .urdf only")
        if options.slices_per_cylinder > 32:
            raise ValueError("PhysX on a GPU takes convex shapes of up to 64 corners")
        tree = ElementTree.parse(str(self.path)).getroot()
        links = {link.attrib["name"]: link for link in tree.findall("link")}
        joints = tree.findall("joint")
        children: Dict[str, List[ElementTree.Element]] = {name: [] for name in links}
        for joint in joints:
            children[joint.find("parent").attrib["link"]].append(joint)
            if joint.find("child").attrib["link"] not in links:
                raise ValueError(f"{name}: {joint.attrib['name']} has no child")
        roots = set(links) - {joint.find("child").attrib["link"] for joint in joints}
        if len(roots) != 1:
            raise ValueError(f"{name}: {len(roots)} links without a parent; there must be one")
        for mesh in tree.iter("mesh"):
            if not (self.path.parent / mesh.attrib["filename"]).is_file():
                raise ValueError(f"{name}: mesh {mesh.attrib['filename']} is not there")
        self.mass = sum(float(mass.attrib["value"]) for mass in tree.iter("mass"))
        if self.mass <= 0:
            raise ValueError(f"{name}: has no mass")
        self.dofs: List[str] = []
        self.bodies = 1
        self._walk(children, roots.pop())
        shapes = [geometry for link in links.values() for geometry in link.findall("collision")]
        self.shapes = len(shapes)
        self.radius = max([_radius(shape) for shape in shapes] or [0.0])

    def _walk(self, children: Dict[str, List[ElementTree.Element]], link: str) -> None:
        # Isaac Gym orders a robot's joints by name, not as the file has them.
        for joint in sorted(children[link], key=lambda each: each.attrib["name"]):
            kind = joint.attrib["type"]
            if kind == "revolute":
                if joint.find("limit") is None or joint.find("axis") is None:
                    raise ValueError(f"{joint.attrib['name']}: has no limit or no axis")
                self.dofs.append(joint.attrib["name"])
                self.bodies += 1
            elif kind != "fixed":
                raise ValueError(f"{joint.attrib['name']}: the double knows no {kind} joint")
            elif not self.options.collapse_fixed_joints or "dont_collapse" in joint.attrib:
                self.bodies += 1
            self._walk(children, joint.find("child").attrib["link"])


def _radius(collision: ElementTree.Element) -> float:
    """About how far a shape reaches from the link's origin, in the plane."""
    origin = collision.find("origin")
    x, y, _ = (float(v) for v in origin.attrib.get("xyz", "0 0 0").split())
    (shape,) = list(collision.find("geometry"))
    if shape.tag == "box":
        half = max(float(v) / 2 for v in shape.attrib["size"].split()[:2])
    elif shape.tag in ("cylinder", "sphere"):
        half = float(shape.attrib["radius"])
    else:
        raise ValueError(f"the double knows no {shape.tag} that collides")
    return (x * x + y * y) ** 0.5 + half
