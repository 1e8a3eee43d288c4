# make help tells what there is.
.DEFAULT_GOAL := help
.PHONY: setup train evaluate export verify serve demo bench bench-serve lint test test-all clean help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
APP := $(BIN)/python -m app
DATA ?= digits
MODEL ?= $(if $(filter scenes,$(DATA)),yolo_v5_tiny,lenet5)
RUN ?= runs/latest
RELEASE ?= exported/$(MODEL)-$(notdir $(DATA))
ARGS ?=

# The stamp is newer than the pinned packages once they are installed. GPU=1 adds TensorFlow's CUDA libraries; BACKEND=jax
# leaves TensorFlow, and what exports with it, out for JAX, whose pin is here because pip has no alternatives in a file.
STAMP := $(VENV)/.installed$(if $(GPU),-gpu)$(if $(BACKEND),-$(BACKEND))
JAX := jax==0.10.2
WITHOUT_TENSORFLOW := sed -E '/^(tensorflow|tf2onnx|ai-edge-litert)==/d; s,^-r ,-r $(CURDIR)/,' requirements.txt

# What is installed in whatever way is enough to work with.
READY := $(if $(wildcard $(VENV)/.installed*),$(if $(wildcard $(STAMP)),setup),setup)
$(if $(BACKEND),$(eval export KERAS_BACKEND := $(BACKEND)))

setup: $(STAMP)  ## install everything into .venv (GPU=1: with CUDA libraries; BACKEND=jax: JAX instead of TensorFlow)

$(STAMP): requirements.txt requirements-serve.txt
	@echo "installing into $(VENV): about 3 GB, some minutes, once"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
ifeq ($(BACKEND),jax)
	$(WITHOUT_TENSORFLOW) > $(VENV)/requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement $(VENV)/requirements.txt $(JAX)
else
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.txt
endif
	$(if $(GPU),$(BIN)/python -m pip install --quiet --disable-pip-version-check "tensorflow[and-cuda]==$$(sed -n 's/^tensorflow==//p' requirements.txt)")
	touch $@

train: $(READY)  ## train MODEL on DATA (default: LeNet-5 on the handwritten digits of scikit-learn, no download)
	$(APP) train $(MODEL) $(DATA) $(ARGS)

evaluate: $(READY)  ## measure RUN (default: the latest) on its test pictures
	$(APP) evaluate $(RUN) $(ARGS)

export: $(READY)  ## turn RUN (default: the latest) into a verified release in exported/
	$(APP) export $(RUN) $(ARGS)

verify: $(READY)  ## check RELEASE: hashes, and every file against its samples
	$(APP) verify $(RELEASE) $(ARGS)

serve: $(READY)  ## answer over HTTP and gRPC with RELEASE (ARGS="--port 8080": see python -m app serve --help)
	$(APP) serve $(RELEASE) $(ARGS)

demo: $(READY)  ## the page for phones that shows RELEASE (ARGS=--https: with live camera)
	$(APP) demo $(RELEASE) $(ARGS)

bench: $(READY)  ## measure every file of RELEASE: size, load, latency, throughput, memory
	$(APP) benchmark $(RELEASE) $(ARGS)

bench-serve: $(READY)  ## the service beside FastAPI and LitServe, in one run (needs wrk)
	$(BIN)/python -m tests.serve.bench $(ARGS)

lint: $(READY)  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: $(READY)  ## the tests: offline, no GPU, minutes
	$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

test-all: $(READY)  ## the slow proofs too
	$(BIN)/python -m pytest -m "not gpu and not network and not browser" $(ARGS)

clean:  ## remove what tools left behind; runs, releases and .venv stay
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path "./$(VENV)/*" -prune -exec rm -rf {} +

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*##  *\(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20
