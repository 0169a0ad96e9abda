# Everything runs in .venv, made from the pins in requirements/ with Python 3.10 or newer.
#
#   make train ARGS="--train_timesteps 1000000"    options of mapush.submit and mapush.train
#   make test PYTEST="-k resume"                   options of pytest, for test-fast too
#   make test EXTRAS=openrl                        with OpenRL, whose tests are skipped without it
#   make setup PYTHON=/opt/python3.12/bin/python3  another Python than the first that fits
#   make image SIM=mujoco ENGINE=podman            a container image without Isaac Gym; ARGS: the engine's

ARGS =
PYTEST =
PYTHON =
EXTRAS =

SIM = isaacgym
ENGINE = $(firstword $(notdir $(foreach engine,docker podman,$(shell command -v $(engine)))))
BASE_IMAGE = $(base_$(SIM))
base_isaacgym := nvidia/cuda:12.1.1-devel-ubuntu20.04
base_mujoco := debian:bookworm-20250520-slim

venv := .venv
run := $(venv)/bin/python
runtime := $(venv)/.runtime-installed
extras := onnx $(EXTRAS)
dev := $(venv)/.dev-installed$(addprefix -,$(EXTRAS))
tools := $(patsubst %,requirements/%.txt,dev $(extras))
install := $(run) -m pip install -qq --disable-pip-version-check --no-input
scripts = $(shell find .ci container job requirements slurm task tests -name '*.sh' -o -path .ci/run)
python38 := $(venv)/bin/vermin -q -t=3.8- --no-tips --violations
# tests/conftest.py says which tests stay in one process, and which of these begin.
pytest = $(run) -m pytest --no-loadscope-reorder
fast = $(pytest) -n 2 -m 'not slow' $(PYTEST)
# Much of what these do is waiting, for SLURM and for a disk.
slow = $(pytest) -n 3 -m slow $(PYTEST)
# What pytest ends with where it has nothing to run, as for a -k that is of the other tests.
none := 5
node := mapush/__init__.py mapush/errors.py mapush/launch/__init__.py mapush/launch/node \
  mapush/checkpoint/__init__.py mapush/checkpoint/names.py
say := printf 'mapush: %s\n'

.DEFAULT_GOAL := help
.PHONY: help setup train test test-fast check format clean image sif

help: ## say what there is to make
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | while IFS="$$(printf '\t')" read -r name text; do \
		printf '  make %-9s %s\n' "$$name" "$$text"; done

setup: $(runtime) ## make .venv from the pinned requirements

train: $(runtime) ## train cuboid on this machine: progress, evaluation, results directory
	@$(run) -m mapush.submit --exp cuboid --wait $(ARGS)

test: check ## all checks, then all tests, the fast ones first
	@$(say) 'running the fast tests'
	@fast=0; $(fast) || fast=$$?; [ $$fast = 0 ] || [ $$fast = $(none) ] || exit $$fast; \
	$(say) 'running the slow tests'; \
	slow=0; $(slow) || slow=$$?; [ $$slow = $(none) ] || exit $$slow; exit $$fast

test-fast: $(dev) ## the tests that need no cluster, container, strace or more than a second
	@$(fast)

check: $(dev) ## lint, formatting, types, shell scripts, and that the package is valid Python 3.8
	@$(say) 'checking lint, formatting, types, shell scripts and Python 3.8'
	@$(venv)/bin/ruff check --quiet .
	@$(venv)/bin/ruff format --quiet --check . || { $(venv)/bin/ruff format --check .; exit 1; }
	@$(venv)/bin/basedpyright --pythonpath $(run)
	@$(venv)/bin/shellcheck --external-sources $(scripts)
	@$(venv)/bin/hadolint Dockerfile
	@# The 3.10+ extras (mapush/simulators/mujoco, mapush/rendering) are only imported where they
	@# are used; as text they are Python 3.8 too, so no file is left out.
	@$(python38) mapush task
	@# What runs on a node before anything of the user's has to do with that node's own Python.
	@$(venv)/bin/vermin -q -t=3.6- --no-tips --violations $(node)
	@# pydantic evaluates the annotations of what it checks when it runs.
	@$(python38) --eval-annotations mapush/tasks mapush/runs/record.py mapush/runs/owner.py mapush/checkpoint/manifest.py

image: ## make the container image mapush:isaacgym (or SIM=mujoco) with docker or podman
	@[ -n '$(base_$(SIM))' ] || { $(say) "SIM=$(SIM): must be isaacgym or mujoco" >&2; exit 2; }
	@[ -n '$(ENGINE)' ] || { $(say) 'found neither docker nor podman; install one, or make sif with apptainer' >&2; exit 2; }
	$(ENGINE) build $(ARGS) --build-arg SIM=$(SIM) --build-arg BASE_IMAGE=$(BASE_IMAGE) -t mapush:$(SIM) .

sif: ## make mapush-isaacgym.sif (or SIM=mujoco) with apptainer
	@[ -n '$(base_$(SIM))' ] || { $(say) "SIM=$(SIM): must be isaacgym or mujoco" >&2; exit 2; }
	apptainer build $(ARGS) --build-arg SIM=$(SIM) --build-arg BASE_IMAGE=$(BASE_IMAGE) mapush-$(SIM).sif apptainer.def

format: $(dev) ## format the code and mend what ruff can mend
	@$(venv)/bin/ruff check --quiet --fix .
	@$(venv)/bin/ruff format .

clean: ## remove .venv and caches; results/ and log/ stay
	rm -rf $(venv) .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -not -path './.git/*' -exec rm -rf {} +

$(runtime): requirements/runtime.txt
	@python="$$(PYTHON='$(PYTHON)' sh requirements/find-python.sh)" && \
	$(say) "making $(venv) with $$("$$python" --version)" && \
	"$$python" -m venv $(venv)
	@$(say) 'installing what mapush runs on (requirements/runtime.txt); a few minutes the first time'
	@$(install) -r $<
	@touch $@

$(dev): $(tools) $(runtime)
	@$(say) 'installing what the checks and tests need ($(tools))'
	@$(install) $(addprefix -r ,$(tools))
	@touch $@
