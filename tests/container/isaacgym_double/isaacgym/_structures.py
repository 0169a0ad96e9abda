"""Plain structures of gymapi: only the fields there are, only of their types."""

from __future__ import annotations

import enum
from typing import Any, ClassVar, Dict, Tuple

FieldTable = Dict[str, Tuple[Any, Any]]  # name -> (type, default)


class Structure:
    """Fields as pybind11 gives them: an unknown name or another type is an error."""

    FIELDS: ClassVar[FieldTable] = {}

    def __init__(self, *values: Any, **named: Any) -> None:
        if len(values) > len(self.FIELDS):
            raise TypeError(f"{type(self).__name__} takes {len(self.FIELDS)} values")
        for name, (_, default) in self.FIELDS.items():
            object.__setattr__(self, name, default() if isinstance(default, type) else default)
        for name, value in {**dict(zip(self.FIELDS, values)), **named}.items():
            setattr(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self.FIELDS:
            raise AttributeError(f"{type(self).__name__} has no {name}")
        kind = self.FIELDS[name][0]
        accepted = (int, float) if kind is float else (kind,)
        confused = isinstance(value, (bool, enum.Enum)) and type(value) is not kind
        if not isinstance(value, accepted) or confused:
            raise TypeError(f"{type(self).__name__}.{name} takes {kind.__name__}, not {value!r}")
        object.__setattr__(self, name, float(value) if kind is float else value)

    def copy(self) -> Any:
        fresh = type(self)()
        for name in self.FIELDS:
            value = getattr(self, name)
            setattr(fresh, name, value.copy() if isinstance(value, Structure) else value)
        return fresh


def _numbers(names: str, **defaults: float) -> FieldTable:
    return {name: (float, defaults.get(name, 0.0)) for name in names.split()}


class Vec3(Structure):
    FIELDS: ClassVar[FieldTable] = _numbers("x y z")


class Quat(Structure):
    FIELDS: ClassVar[FieldTable] = _numbers("x y z w", w=1.0)


class Transform(Structure):
    FIELDS: ClassVar[FieldTable] = {"p": (Vec3, Vec3), "r": (Quat, Quat)}


class SimType(enum.Enum):
    SIM_PHYSX = 0
    SIM_FLEX = 1


class UpAxis(enum.Enum):
    UP_AXIS_Y = 0
    UP_AXIS_Z = 1


class ContactCollection(enum.Enum):
    CC_NEVER = 0
    CC_LAST_SUBSTEP = 1
    CC_ALL_SUBSTEPS = 2


class IndexDomain(enum.Enum):
    DOMAIN_ENV = 0
    DOMAIN_ACTOR = 1
    DOMAIN_SIM = 2


class DofDriveMode(enum.Enum):
    DOF_MODE_NONE = 0
    DOF_MODE_POS = 1
    DOF_MODE_VEL = 2
    DOF_MODE_EFFORT = 3

    def __int__(self) -> int:
        return self.value


class MeshNormalMode(enum.Enum):
    FROM_ASSET = 0
    COMPUTE_PER_VERTEX = 1
    COMPUTE_PER_FACE = 2


class ImageType(enum.Enum):
    IMAGE_COLOR = 0
    IMAGE_DEPTH = 1
    IMAGE_SEGMENTATION = 2
    IMAGE_OPTICAL_FLOW = 3


class MeshType(enum.Enum):
    MESH_NONE = 0
    MESH_COLLISION = 1
    MESH_VISUAL = 2
    MESH_VISUAL_AND_COLLISION = 3


class PhysXParams(Structure):
    FIELDS: ClassVar[FieldTable] = {
        "always_use_articulations": (bool, False),
        "bounce_threshold_velocity": (float, 0.2),
        "contact_collection": (ContactCollection, ContactCollection.CC_ALL_SUBSTEPS),
        "contact_offset": (float, 0.02),
        "default_buffer_size_multiplier": (float, 2.0),
        "friction_correlation_distance": (float, 0.025),
        "friction_offset_threshold": (float, 0.04),
        "max_depenetration_velocity": (float, 100.0),
        "max_gpu_contact_pairs": (int, 1048576),
        "num_position_iterations": (int, 4),
        "num_subscenes": (int, 0),
        "num_threads": (int, 0),
        "num_velocity_iterations": (int, 1),
        "rest_offset": (float, 0.001),
        "solver_type": (int, 1),
        "use_gpu": (bool, False),
    }


class SimParams(Structure):
    FIELDS: ClassVar[FieldTable] = {
        "dt": (float, 1 / 60),
        "enable_actor_creation_warning": (bool, True),
        "gravity": (Vec3, Vec3),
        "num_client_threads": (int, 0),
        "physx": (PhysXParams, PhysXParams),
        "stress_visualization": (bool, False),
        "stress_visualization_max": (float, 1e5),
        "stress_visualization_min": (float, 0.0),
        "substeps": (int, 2),
        "up_axis": (UpAxis, UpAxis.UP_AXIS_Y),
        "use_gpu_pipeline": (bool, False),
    }


class PlaneParams(Structure):
    FIELDS: ClassVar[FieldTable] = {
        "distance": (float, 0.0),
        "dynamic_friction": (float, 1.0),
        "normal": (Vec3, Vec3),
        "restitution": (float, 0.0),
        "segmentation_id": (int, 0),
        "static_friction": (float, 1.0),
    }


class AssetOptions(Structure):
    FIELDS: ClassVar[FieldTable] = {
        "angular_damping": (float, 0.5),
        "armature": (float, 0.0),
        "collapse_fixed_joints": (bool, False),
        "convex_decomposition_from_submeshes": (bool, False),
        "default_dof_drive_mode": (int, 0),
        "density": (float, 1000.0),
        "disable_gravity": (bool, False),
        "enable_gyroscopic_forces": (bool, True),
        "fix_base_link": (bool, False),
        "flip_visual_attachments": (bool, False),
        "linear_damping": (float, 0.0),
        "max_angular_velocity": (float, 64.0),
        "max_linear_velocity": (float, 1000.0),
        "mesh_normal_mode": (MeshNormalMode, MeshNormalMode.FROM_ASSET),
        "min_particle_mass": (float, 1e-12),
        "override_com": (bool, False),
        "override_inertia": (bool, False),
        "replace_cylinder_with_capsule": (bool, False),
        "slices_per_cylinder": (int, 20),
        "tendon_limit_stiffness": (float, 1.0),
        "thickness": (float, 0.02),
        "use_mesh_materials": (bool, False),
        "use_physx_armature": (bool, True),
        "vhacd_enabled": (bool, False),
    }


class CameraProperties(Structure):
    FIELDS: ClassVar[FieldTable] = {
        "enable_tensors": (bool, False),
        "far_plane": (float, 2e6),
        "height": (int, 900),
        "horizontal_fov": (float, 90.0),
        "near_plane": (float, 1e-3),
        "supersampling_horizontal": (int, 1),
        "supersampling_vertical": (int, 1),
        "use_collision_geometry": (bool, False),
        "width": (int, 1600),
    }

    def __init__(self) -> None:
        super().__init__()


class RigidShapeProperties(Structure):
    FIELDS: ClassVar[FieldTable] = {
        "compliance": (float, 0.0),
        "contact_offset": (float, 0.02),
        "filter": (int, 0),
        "friction": (float, 1.0),
        "rest_offset": (float, 0.0),
        "restitution": (float, 0.0),
        "rolling_friction": (float, 0.0),
        "thickness": (float, 0.01),
        "torsion_friction": (float, 0.0),
    }


class Tensor:
    """A buffer of the simulation; only gymtorch looks inside."""

    def __init__(self, array: Any) -> None:
        self._array = array

    @property
    def shape(self) -> Tuple[int, ...]:
        return tuple(self._array.shape)
