# Everything a user or a contributor runs; each target sets up what it needs by itself.
PYTHON ?= python3
VENV ?= .venv
TIER ?= quick
RESULTS ?= runs/bench-$(TIER)
WORKERS ?=
OUT ?= results/kernels

BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
RLIDIM := $(BIN)/rlidim
WORKERS_OPTION := $(if $(WORKERS),--workers $(WORKERS))

.DEFAULT_GOAL := help
.PHONY: help install bench test tables reproduce gpu sanitize lint format type clean

help:  ## Show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## ?/  make \1\t/' | expand -t 20

install: $(INSTALLED)  ## Make .venv and install rlidim with all its parts, pinned by constraints.txt

$(INSTALLED): pyproject.toml constraints.txt $(wildcard rlidim/projections/native/CMakeLists.txt rlidim/projections/native/src/*)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[all,dev]'
	touch $@

bench: install  ## Measure the suite's quick tier anew, below runs/ (TIER=smoke|quick|full, RESULTS=folder)
	$(RLIDIM) --results $(RESULTS) bench --tier $(TIER) $(WORKERS_OPTION)

test: install  ## Run the tests (under 10 minutes on 2 cores)
	$(BIN)/python -m pytest -n 2 --dist worksteal

tables: install  ## Write results/TABLES.md, CSV, LaTeX and figures from the committed records
	$(RLIDIM) --results results tables

reproduce: install  ## Complete the committed evidence in results/: make what runs are missing, then the tables
	$(RLIDIM) --results results bench --tier $(TIER) $(WORKERS_OPTION)

# Runs from the checkout with any python that has torch and triton; it needs the packages of
# constraints.txt without torch, of which a machine that lacks some still does with click and numpy.
gpu:  ## Run all that waits for a GPU with this python (no installation): correctness, timings, as JSON
	$(PYTHON) -m rlidim gpu --out $(OUT)

sanitize: install  ## Run the C++ kernels' tests under the address and undefined-behaviour sanitizers
	$(BIN)/cmake -S rlidim/projections/native -B build/sanitize -G Ninja -DRLIDIM_SANITIZE=ON \
	  -DCMAKE_BUILD_TYPE=RelWithDebInfo -DPython_EXECUTABLE=$(abspath $(BIN)/python) > /dev/null
	$(BIN)/cmake --build build/sanitize
	LD_PRELOAD="$$($(CXX) -print-file-name=libasan.so) $$($(CXX) -print-file-name=libstdc++.so)" \
	  ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
	  $(BIN)/python -m pytest -q -p no:cacheprovider tests/projections/test_native.py \
	  --kernels "$$(ls build/sanitize/_kernels*.so)"

lint: install  ## Check style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: install  ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

type: install  ## Check types
	$(BIN)/mypy

clean:  ## Remove what make made (not the results)
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
