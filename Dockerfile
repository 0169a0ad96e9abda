# mapush in a container; apptainer.def is the same recipe for Apptainer.
#
#   make image                     with Isaac Gym and OpenRL; IsaacGym_Preview_4_Package.tar.gz lies beside this file
#   make image SIM=mujoco          with MuJoCo; needs no archive and no GPU
#   docker run --gpus all -v "$PWD:/out" mapush:isaacgym --exp cuboid
#
# docs/container.md says the rest.
ARG BASE_IMAGE=nvidia/cuda:12.1.1-devel-ubuntu20.04

# The archive stays in this stage: no layer of the image holds it.
FROM ${BASE_IMAGE} AS isaacgym
ARG SIM=isaacgym
COPY container/install.sh IsaacGym_Preview_4_Package.tar.g[z] /archive/
RUN bash /archive/install.sh check && bash /archive/install.sh isaacgym

FROM ${BASE_IMAGE}
ARG SIM=isaacgym
COPY container/install.sh /opt/mapush/container/
RUN bash /opt/mapush/container/install.sh system
COPY requirements/runtime.txt requirements/isaacgym.txt /opt/mapush/requirements/
ARG PIP_EXTRA_INDEX_URL=
RUN bash /opt/mapush/container/install.sh python
COPY --from=isaacgym /opt/isaacgym /opt/isaacgym
RUN bash /opt/mapush/container/install.sh gymtorch
# Only what fetches the assets, so that a change of the code does not fetch them again.
COPY mapush/__init__.py mapush/arguments.py mapush/errors.py mapush/files.py mapush/schema.py \
    /fetch/mapush/
COPY mapush/robots/assets.py /fetch/mapush/robots/
RUN FETCH_DIR=/fetch bash /opt/mapush/container/install.sh assets
COPY mapush /opt/mapush/mapush
COPY job /opt/mapush/job
COPY task /opt/mapush/task
RUN bash /opt/mapush/container/install.sh finish

# NVIDIA_*: what NVIDIA's container runtime brings in; Isaac Gym draws, so compute is not enough.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPATH=/opt/mapush \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    MAPUSH_ROOT=/out \
    MAPUSH_EXTENSIONS=/opt/mapush/torch_extensions \
    MAPUSH_KERNELS=/opt/mapush/kernels \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=all \
    VK_ICD_FILENAMES=/usr/share/vulkan/icd.d/nvidia_icd.json
USER 1000:1000
WORKDIR /opt/mapush
ENTRYPOINT ["bash", "/opt/mapush/job/entrypoint.sh"]
CMD ["--help"]
