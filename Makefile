# `make demo` and `make test` need only Python >= 3.11 and make; both set everything up.
PYTHON ?= python3
VENV ?= .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed

.PHONY: help setup demo test test-slow test-optimised docs notebooks check-tpu libtpu \
  lint format bench bench-solver lock clean
help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

setup: $(STAMP)  ## a virtual environment (VENV=path) with eqnets and every extra

# uv installs the hashed lock in seconds; plain pip does the same in about a minute.
$(STAMP): requirements.lock requirements-setup.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "eqnets needs Python 3.11 or newer; say make PYTHON=python3.11")'
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	if $(PY) -m pip install -q --disable-pip-version-check --require-hashes -r requirements-setup.lock \
	  && $(PY) -m uv pip install -q --python $(PY) --require-hashes -r requirements.lock; \
	then $(PY) -m uv pip install -q --python $(PY) --no-deps -e .; \
	else $(PY) -m pip install -q --disable-pip-version-check --require-hashes -r requirements.lock \
	  && $(PY) -m pip install -q --disable-pip-version-check --no-deps -e .; fi
	touch $@

demo: setup  ## measure a real network on real photographs: report/demo/index.html
	$(PY) -m eqnets measure --out report/demo

test: setup  ## the whole test suite, doctests included
	$(PY) -m pytest -q -n 2 --dist worksteal

test-slow: setup  ## the tests that are too long for the default suite
	$(PY) -m pytest -q -n 2 -m slow

# The suite compiles cheap code; whether exactness survives XLA's optimiser is asked here.
test-optimised: setup  ## the tests of exactness, on optimised code
	JAX_DISABLE_MOST_OPTIMIZATIONS=0 $(PY) -m pytest -q -n 2 tests/polyphase tests/nn tests/models \
	  tests/measure

docs: setup  ## run the code of every page, and build the site: site/index.html
	$(PY) -m book.execute
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict

notebooks: setup  ## the tutorials as Jupyter notebooks: notebooks/
	$(PY) -m book.notebooks

# In a folder of its own: beside jax, libtpu would look for a TPU whenever jax starts.
LIBTPU ?= .libtpu
check-tpu: setup  ## export every model and training step for TPU and CUDA; with libtpu, compile for v5e
	JAX_PLATFORMS=cpu TPU_SKIP_MDS_QUERY=1 PYTHONPATH=$(LIBTPU) $(PY) -m experiments.check_tpu

libtpu: setup  ## TPU's compiler (684 MB) into .libtpu, for check-tpu
	$(PY) -m pip install -q --disable-pip-version-check --no-deps --target $(LIBTPU) 'libtpu==0.0.42.*'

lint: setup  ## style, imports, formatting
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

format: setup  ## rewrite the code in the house style
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

bench: setup  ## the benchmarks: ratios in one run, printed and saved
	$(PY) -m benchmarks.lee
	$(PY) -m benchmarks.layerwise
	$(PY) -m benchmarks.polyphase --size 32 --batch 16 --rounds 40
	$(PY) -m benchmarks.polyphase --size 224 --batch 1
	$(PY) -m benchmarks.polyphase --size 224 --batch 2
	$(PY) -m benchmarks.stitching
	$(PY) -m benchmarks.solver
	$(PY) -m benchmarks.maps
	$(PY) -m benchmarks.training

bench-solver: setup  ## the basis solver beside emlp 1.0.3, in an environment of its own
	test -x .venv-emlp/bin/python || $(PYTHON) -m venv .venv-emlp
	.venv-emlp/bin/python -m pip install -q jax==0.4.13 jaxlib==0.4.13 numpy==1.26.4 \
	  scipy==1.11.4 objax==1.7.0 plum-dispatch==1.7.4 optax==0.1.7 flax==0.7.2 six emlp==1.0.3
	$(PY) -m benchmarks.solver --peer .venv-emlp

lock: setup  ## resolve the dependencies anew; the files hold hashes and no host names
	$(PY) -m uv pip compile pyproject.toml --all-extras --upgrade --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-annotate --no-header -q -o requirements.lock
	echo uv | $(PY) -m uv pip compile - --upgrade --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-annotate --no-header -q -o requirements-setup.lock

clean:  ## remove what the targets made
	rm -rf $(VENV) report build site notebooks .pytest_cache .ruff_cache
