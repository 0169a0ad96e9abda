#!/usr/bin/env bash
# install.sh STEP: one step of making the image, inside it. Dockerfile and apptainer.def run the same
# steps in the same order, with SIM=isaacgym or SIM=mujoco.
#
#   check      the build's arguments and the archive are right; nothing is installed yet
#   system     packages of the distribution, its own Python among them
#   python     /opt/venv with the pinned packages
#   isaacgym   Isaac Gym from the user's archive in $ARCHIVE_DIR, into /opt/isaacgym
#   gymtorch   Isaac Gym's extension of torch, compiled into /opt/mapush/torch_extensions
#   assets     the walking policy and the Go1's description, into /opt/mapush/assets
#   finish     the user mapush, the folder for results; Python's bytecode
set -euo pipefail

readonly pip=25.0.1 # the last for Python 3.8
readonly archive=${ARCHIVE_DIR:-/archive}/IsaacGym_Preview_4_Package.tar.gz
readonly here=/opt/mapush gym=/opt/isaacgym
export PATH=/opt/venv/bin:$PATH PYTHONNOUSERSITE=1 DEBIAN_FRONTEND=noninteractive
# Apptainer builds with the host's /tmp, where nothing may be left or removed that is not this build's.
export TMPDIR=/opt/build

stop() {
    printf '\nmapush: %s\n\n' "$*" >&2
    exit 1
}

is_isaacgym() { [ "${SIM:-}" = isaacgym ]; }

check() {
    case ${SIM:-} in
    isaacgym) ;;
    mujoco) return ;;
    *) stop "SIM='${SIM:-}': must be isaacgym or mujoco (--build-arg SIM=mujoco)" ;;
    esac
    [ -s "$archive" ] || stop "${archive##*/} is not beside the Dockerfile. Isaac Gym must not be passed on, so it is not
  part of mapush: download it (Isaac Gym - Preview 4 release, free of charge, with an NVIDIA account) from
      https://developer.nvidia.com/isaac-gym
  put it as it is into mapush's directory, and build again. SIM=mujoco needs no archive."
    sha256sum "$archive"
    tar -tzf "$archive" isaacgym/python/isaacgym/gymapi.py >/dev/null ||
        stop "${archive##*/}: is damaged or is not Isaac Gym Preview 4 (no isaacgym/python/isaacgym/gymapi.py in it); download it again"
}

system() {
    apt-get update -qq
    install_packages ca-certificates python3 python3-venv tzdata
    check_python
    if is_isaacgym; then
        # gymtorch is compiled here, and torch looks for the compiler again when it loads it. git fetches
        # the assets. The rest is what Isaac Gym's libraries load, its viewer and cameras included.
        install_packages g++ git libpython3.8 python3-dev libegl1 libgl1 libglu1-mesa libvulkan1 \
            libx11-6 libxcursor1 libxext6 libxi6 libxinerama1 libxrandr2
        nvidia
    else
        install_packages libegl1 libgl1-mesa-dri # the evaluation's pictures, drawn without a GPU
    fi
    apt-get clean
    rm -rf /var/lib/apt/lists/* /var/cache/ldconfig/aux-cache /var/log/apt /var/log/dpkg.log
}

install_packages() { apt-get install -qq --no-install-recommends "$@" >/dev/null; }

check_python() {
    local version
    version=$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    case $SIM:$version in
    isaacgym:3.8 | mujoco:3.1[0-9]) ;;
    isaacgym:*) stop "the base image's python3 is $version, and Isaac Gym Preview 4 with torch 2.4.1 needs 3.8; choose an Ubuntu 20.04: --build-arg BASE_IMAGE=nvidia/cuda:12.1.1-devel-ubuntu20.04" ;;
    *) stop "the base image's python3 is $version, and SIM=mujoco needs 3.10 or newer; choose a newer one: --build-arg BASE_IMAGE=debian:bookworm-20250520-slim" ;;
    esac
}

nvidia() {
    # Container runtimes bring the driver's libraries, but not always the files that name them: without,
    # Vulkan takes lavapipe, a renderer on the CPU. Mesa's EGL crashes Isaac Gym when a thread ends.
    local vulkan=/usr/share/vulkan/icd.d egl=/usr/share/glvnd/egl_vendor.d
    mkdir -p "$vulkan" "$egl"
    rm -f "$vulkan"/lvp_icd.* "$egl/50_mesa.json" /usr/lib/x86_64-linux-gnu/libEGL_mesa.so.0*
    printf '{"file_format_version": "1.0.0", "ICD": {"library_path": "%s"%s}}\n' \
        libGLX_nvidia.so.0 ', "api_version": "1.3.194"' >"$vulkan/nvidia_icd.json"
    printf '{"file_format_version": "1.0.0", "ICD": {"library_path": "%s"}}\n' \
        libEGL_nvidia.so.0 >"$egl/10_nvidia.json"
}

python() {
    python3 -m venv /opt/venv
    local install=(python3 -m pip install --quiet --no-input --no-cache-dir --disable-pip-version-check --no-compile)
    "${install[@]}" "pip==$pip"
    if is_isaacgym; then
        # The list is complete. Pip's resolver does not come to an end on OpenRL's requirements.
        "${install[@]}" --no-deps -r "$here/requirements/isaacgym.txt"
    else
        "${install[@]}" -r "$here/requirements/runtime.txt"
    fi
    # 130 MB of torch's own tests.
    rm -rf /opt/venv/lib/python3*/site-packages/torch/test /opt/venv/lib/python3*/site-packages/torch/bin/test_*
    # In parallel, unlike pip's. A few packages carry files that are no Python of this version.
    python3 -m compileall -qq -j 0 /opt/venv/lib || true
}

isaacgym() {
    mkdir -p "$gym"
    is_isaacgym || return 0
    tar -xzf "$archive" -C "$gym" --strip-components=1 --no-same-owner \
        --exclude=isaacgym/assets --exclude=isaacgym/docs --exclude=isaacgym/python/examples
}

gymtorch() {
    is_isaacgym || return 0
    # As its setup.py would by `pip install -e`, without the torch 1.8 it asks for.
    echo "$gym/python" >"$(python3 -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/isaacgym.pth"
    # The call that isaacgym.gymtorch makes when it is imported, so that it finds everything done.
    # Importing it would need the NVIDIA driver, which builds do not have.
    TORCH_EXTENSIONS_DIR=$here/torch_extensions python3 - "$gym/python/isaacgym/_bindings/src/gymtorch/gymtorch.cpp" <<'END'
import os, sys, torch, torch.utils.cpp_extension as extension
os.makedirs(os.environ["TORCH_EXTENSIONS_DIR"])
major, minor = torch.__version__.split(".")[:2]
flags = ["-DTORCH_MAJOR=" + major, "-DTORCH_MINOR=" + minor]
extension.load(name="gymtorch", sources=[sys.argv[1]], extra_cflags=flags, verbose=True)
END
}

assets() {
    mkdir -p "$here/assets"
    is_isaacgym || return 0
    (cd "${FETCH_DIR:-$here}" && python3 -m mapush.robots.assets --to "$here/assets")
}

kernels() {
    # Compiled where they can be kept: the image's root is read-only to many jobs.
    mkdir -p "$here/kernels"
    is_isaacgym || (cd "$here" && PYTHONPATH=$here python3 -m mapush.environment.fused.bundle --to "$here/kernels")
}

finish() {
    # 1000 is the first user of most machines, whose folders are then written without --user.
    groupadd --gid 1000 --non-unique mapush
    useradd --uid 1000 --gid 1000 --non-unique --create-home --shell /bin/bash mapush
    install -d -o 1000 -g 1000 /out
    kernels
    python3 -m compileall -qq "$here/mapush" "$here/task"
    # A checkout may be closed to others.
    find "$here" \( ! -perm -a+r -o -type d ! -perm -a+x \) -exec chmod a+rX {} +
    rm -rf /root/.cache /fetch /archive
}

case ${1:-} in
check) check ;;
system | python | isaacgym | gymtorch | assets | finish)
    mkdir -p "$TMPDIR"
    trap 'rm -rf "$TMPDIR"' EXIT
    "$1"
    ;;
*) stop "install.sh ${1:-}: no such step" ;;
esac
