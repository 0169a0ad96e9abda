"""Every reader of a file that somebody else may have written, and files to feed it."""

from __future__ import annotations

import contextlib
import io
import json
import resource
import struct
import time
import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Tuple

import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from mapush.checkpoint import manifest, module, published
from mapush.errors import RequestError
from mapush.evaluation.policy import build_policy, read_checkpoint
from mapush.evaluation.success_rates import Entry, read_success_rates
from mapush.learners.network import Actor, Architecture
from mapush.runs import record
from mapush.runs.lease import acquire, living
from mapush.runs.listing import find_by_job
from mapush.runs.naming import reserve
from mapush.runs.owner import Owner
from mapush.tasks import load_task, task_folder
from tests.checkpoint import handmade_archives as archives
from tests.checkpoint.checkpoint_states import state_at

MEMORY = 1 << 30  # bytes that reading one file may take, beside what the process has
SECONDS = 5.0

Reader = Callable[[Path], object]


def _module_bytes() -> bytes:
    architecture = Architecture(observation_size=8, action_size=3, hidden_size=8)
    state = {
        **state_at(20_000),
        "actor_network": Actor(architecture).state_dict(),
        "network_architecture": architecture.as_dict(),
    }
    return module.dumps(state)


def _pickle_of(data: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        (name,) = [name for name in file.namelist() if name.endswith("data.pkl")]
        return file.read(name)


@st.composite
def damaged(draw: st.DrawFn, good: bytes) -> bytes:
    """The bytes of a good file, cut, flipped, doubled or written over in a few places."""
    data = bytearray(good)
    for _ in range(draw(st.integers(1, 6))):
        start = draw(st.integers(0, max(len(data) - 1, 0)))
        length = draw(st.one_of(st.integers(0, 8), st.integers(0, 300)))
        kind = draw(st.sampled_from("cut flip write insert double truncate huge".split()))
        if kind == "cut":
            del data[start : start + length]
        elif kind == "flip" and data:
            data[start] ^= 1 << draw(st.integers(0, 7))
        elif kind == "write":
            data[start : start + length] = draw(st.binary(min_size=length, max_size=length))
        elif kind == "insert":
            data[start:start] = draw(st.binary(max_size=40))
        elif kind == "double":
            data[start:start] = data[start : start + length]
        elif kind == "truncate":
            del data[start:]
        else:
            data[start : start + 8] = struct.pack("<q", draw(st.integers(-(2**63), 2**63 - 1)))
    return bytes(data)


_FRAGMENTS: List[bytes] = [
    *(bytes([code]) for code in b"(]})N.tsuaebRQ\x85\x86\x87\x88\x89\x81\x93\x94lpdio0120IFLVSTUX"),
    *(archives.whole(value) for value in (0, -1, 2**31, 2**200, 1.5, "", "x" * 300, None)),
    *(archives.text(text) for text in ("storage", "cpu", "0", "models", "policy", "critic")),
    *(archives.text(text) for text in ("_parameters", "_buffers", "_modules", "param_groups")),
    *(archives.text(text) for text in ("optimizers", "state", "params", *module.FIELDS)),
    archives.name("torch._utils", "_rebuild_tensor_v2"),
    archives.name("torch._utils", "_rebuild_parameter"),
    archives.name("collections", "OrderedDict"),
    archives.name("collections", "defaultdict"),
    archives.name("torch", "FloatStorage"),
    archives.name("posix", "system"),
    archives.name("openrl.modules.ppo_module", "PPOModule"),
    archives.storage(),
    archives.tensor(),
    archives.tensor(size=(2, 2), stride=(2, 1)),
    archives.tensor(size=(), stride=()),
    archives.tensor(size=(1 << 40,), stride=(0,)),
    *(b"q" + bytes([index]) for index in range(4)),
    *(b"h" + bytes([index]) for index in range(4)),
]


def _archive(pickled: bytes) -> bytes:
    return archives.archive(pickled, {str(key): bytes(4096) for key in range(12)})


def _pickles(good: bytes) -> st.SearchStrategy[bytes]:
    """Whole archives around pickles that are damaged, or put together from what pickles have."""
    program = st.lists(st.sampled_from(_FRAGMENTS), max_size=60).map(b"".join)
    return st.one_of(damaged(good), program.map(archives.program)).map(_archive)


_PLAIN = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=20),
        st.sampled_from(["running", "log/MQE/a/b", "results/a", "../..", "2025-10-28", "7"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=12), inner, max_size=4)
    ),
    max_leaves=8,
)


@st.composite
def _changed(draw: st.DrawFn, fields: Dict[str, Any]) -> Dict[str, Any]:
    """Named values with some replaced by anything, or missing."""
    changed = dict(fields)
    for name in draw(st.lists(st.sampled_from(sorted(fields)), min_size=1, max_size=3)):
        if draw(st.booleans()):
            changed[name] = draw(_PLAIN)
        elif isinstance(changed.get(name), dict) and changed[name]:
            changed[name] = draw(_changed(changed[name]))
        else:
            changed.pop(name, None)
    return changed


def _run_fields(root: Path) -> Tuple[Path, Dict[str, Any]]:
    run = reserve(root, "cuboid", "go1push_mid", datetime(2025, 10, 28), Owner.current("7", 0))
    run.update(interruptions=(record.Interruption("t", "SIGTERM", 1, 2, 0.5, "node7"),))
    path = run.results / record.FILE_NAME
    return path, yaml.safe_load(path.read_bytes())


def _dumped(fields: Dict[str, Any]) -> bytes:
    return yaml.safe_dump(fields).encode()


def _sealed(fields: Dict[str, Any]) -> bytes:
    fields = {name: value for name, value in fields.items() if name != "seal"}
    return json.dumps({**fields, "seal": manifest.digest(fields)}).encode()


_ENTRY = (
    Entry(
        20_000, 0.5, 0.4, 0.6, 300, 11.5, {"collision degree": 0.01, "collaboration degree": 0.02}
    )
    .text()
    .encode()
)


class Fuzz:
    """One reader and the files to feed it.

    Args:
        place: An empty directory for its files.
    """

    def __init__(self, place: Path, name: str) -> None:
        self.place = place
        make = {
            "module.pt": self._module,
            "module.pt's pickle": self._module_pickle,
            "published module.pt": self._published,
            "run.yaml": self._record,
            "manifest.json": self._manifest,
            "success_rate.txt": self._ledger,
            "a lease": self._lease,
        }[name]
        self.path = place / "file"
        self.files: st.SearchStrategy[bytes]
        self.read: Reader
        self.files, self.read = make()

    def run(self, examples: int, fixed: bool = False) -> int:
        """Feed it, with the same files every time if `fixed`; how many it has read or refused.

        Raises:
            AssertionError: It has done something else.
        """
        count = 0

        @settings(
            max_examples=examples,
            deadline=None,
            database=None,
            derandomize=fixed,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        )
        @given(self.files)
        def feed(data: bytes) -> None:
            nonlocal count
            count += 1
            self._feed(data)

        with _bounded_memory():
            feed()
        return count

    def _feed(self, data: bytes) -> None:
        self.path.write_bytes(data)
        begun, said = time.process_time(), ""
        try:
            self.read(self.path)
        except RequestError as error:
            said = str(error)
        assert "\n" not in said, f"more than one line: {said}"
        assert len(said) < 2_000, f"{len(said)} characters"
        spent = time.process_time() - begun
        assert spent < SECONDS, f"takes {spent:.1f} s"

    def _module(self) -> Tuple[st.SearchStrategy[bytes], Reader]:
        return damaged(_module_bytes()), _read_module

    def _module_pickle(self) -> Tuple[st.SearchStrategy[bytes], Reader]:
        return _pickles(_pickle_of(_module_bytes())), _read_module

    def _published(self) -> Tuple[st.SearchStrategy[bytes], Reader]:
        return _pickles(archives.program(published_module())), published.load

    def _record(self) -> Tuple[st.SearchStrategy[bytes], Reader]:
        path, fields = _run_fields(self.place)
        self.path = path
        files = st.one_of(damaged(path.read_bytes()), _changed(fields).map(_dumped))

        def read(path: Path) -> object:
            find_by_job(self.place, "7", lambda _: None)
            found = record.read(path)
            for part in (found.live, found.results):
                assert (self.place / part).resolve().is_relative_to(self.place.resolve())
            return found

        return files, read

    def _manifest(self) -> Tuple[st.SearchStrategy[bytes], Reader]:
        good = manifest.dumps(manifest.describe(b"x", 1, 2, {}, {"success_rate": 0.5}))
        return st.one_of(damaged(good), _changed(json.loads(good)).map(_sealed)), manifest.read

    def _ledger(self) -> Tuple[st.SearchStrategy[bytes], Reader]:
        good = b"\n".join([_ENTRY, _ENTRY.replace(b"20000", b"40000")])
        figure = st.text(alphabet="0123456789.-einfa\u0663", max_size=400).map(str.encode)
        changed = figure.map(lambda text: _ENTRY.replace(b"0.4000", text))
        named = figure.map(lambda text: _ENTRY.replace(b"20000", text))
        return st.one_of(damaged(good), changed, named), read_success_rates

    def _lease(self) -> Tuple[st.SearchStrategy[bytes], Reader]:
        start = datetime(2025, 10, 28)
        run = reserve(self.place, "cuboid", "go1push_mid", start, Owner.current("7", 0))
        ownership = acquire(run, Owner.current("7", 0))
        self.path = run.live / ".lease" / f"{ownership.generation:06d}"
        good = self.path.read_bytes()
        files = st.one_of(
            damaged(good),
            _changed(json.loads(good)).map(lambda fields: json.dumps(fields).encode()),
        )

        def read(path: Path) -> object:
            return str(living(run))

        return files, read


def _read_module(path: Path) -> object:
    """As evaluation and training do: load it, then build the policy of it."""
    state = read_checkpoint(path)
    return build_policy(state, _task(), path)


_TASKS: List[Any] = []


def _task() -> Any:
    if not _TASKS:
        _TASKS.append(load_task(task_folder("cuboid")))
    return _TASKS[0]


def published_module() -> bytes:
    """The body of a pickle of a small published checkpoint."""

    def instance(cls: str, **state: bytes) -> bytes:
        package, _, attribute = cls.rpartition(".")
        return archives.name(package, attribute) + b")\x81" + mapping(**state) + b"b"

    def mapping(**values: bytes) -> bytes:
        body = b"".join(archives.text(key) + value for key, value in values.items())
        return b"}(" + body + b"u"

    def network() -> bytes:
        matrix = archives.tensor(size=(2, 2), stride=(2, 1))
        layer = instance(
            "torch.nn.modules.linear.Linear",
            _parameters=mapping(weight=matrix),
            _buffers=b"}",
            _modules=b"}",
        )
        return instance(
            "x.Net", _parameters=b"}", _buffers=b"}", _modules=mapping(fc=layer, out=layer)
        )

    groups = (
        b"](" + mapping(lr=archives.whole(5e-4), params=b"](" + archives.tensor() + b"e") + b"e"
    )
    optimizer = instance("torch.optim.adam.Adam", param_groups=groups, state=b"}")
    return instance(
        published.MODULE_CLASS,
        models=mapping(policy=network(), critic=network()),
        optimizers=mapping(policy=optimizer, critic=optimizer),
    )


@contextlib.contextmanager
def _bounded_memory() -> Iterator[None]:
    """Let nothing in the block take more than `MEMORY` beside what there is."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


READERS = (
    "module.pt",
    "module.pt's pickle",
    "published module.pt",
    "run.yaml",
    "manifest.json",
    "success_rate.txt",
    "a lease",
)
