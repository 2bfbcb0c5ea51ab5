# Everything a user or a contributor runs; each target sets up what it needs by itself.
PYTHON ?= python3
VENV ?= .venv
TIER ?= quick
UNTIL ?= 3h
RESULTS ?= runs/bench-$(TIER)
WORKERS ?=
OUT ?= results/kernels

# What `make gpu` asks of another machine: its python and system, the packages that it may lack, 65 MB
# of which scipy is 35 and matplotlib with its own 25. To carry only what that machine does lack:
#   make gpu-packages GPU_PACKAGES="gymnasium Farama-Notifications"
GPU_PYTHON ?= 3.12
GPU_MANYLINUX ?= 2_28 2_27 2_26 2_24 2_17 2_12 2_5
GPU_PACKAGES ?= ale-py click cloudpickle contourpy cycler Farama-Notifications filelock fonttools gymnasium \
  kiwisolver markdown-it-py matplotlib mdurl packaging pillow Pygments pyparsing python-dateutil \
  PyYAML rich safetensors scipy stable_baselines3 threadpoolctl typing_extensions tzdata
WHEELS := build/gpu
SITE := build/gpu-site

BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# The extra that a tier's environments need; `make install` has those of all tiers but the atlas's.
PARTS := $(if $(filter smoke quick,$(TIER)),mujoco,$(if $(filter atlas,$(TIER)),atlas,all))
MEASURING := $(VENV)/.measuring-$(PARTS)
ENOUGH := $(if $(filter-out atlas,$(PARTS)),$(wildcard $(INSTALLED)))
SOURCES := pyproject.toml constraints.txt $(wildcard rlidim/projections/cpp_kernels/CMakeLists.txt rlidim/projections/cpp_kernels/src/* rlidim/trainers/many/cpp/*)
RLIDIM := $(BIN)/rlidim
# Two tests at a time, each in one thread: more would wait for one another.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal
WORKERS_OPTION := $(if $(WORKERS),--workers $(WORKERS))

.DEFAULT_GOAL := help
.PHONY: help install bench test test-slow test-all docs soak atlas tables reproduce gpu gpu-packages sanitize lint format type clean

help:  ## Show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## ?/  make \1\t/' | expand -t 20

install: $(INSTALLED)  ## Make .venv and install rlidim with all its parts, pinned by constraints.txt

$(INSTALLED): $(SOURCES)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[all,dev]'
	touch $@

# Only the package and one of its extras.
$(VENV)/.measuring-%: $(SOURCES)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[$*]'
	touch $@

bench: $(or $(ENOUGH),$(MEASURING))  ## Measure the suite's quick tier anew, below runs/ (TIER=smoke|quick|full, RESULTS=folder)
	$(RLIDIM) --results $(RESULTS) bench --tier $(TIER) $(WORKERS_OPTION)

test: install  ## Run the tests but the slow ones: what a change can break (under 5 minutes on 2 cores)
	$(PYTEST) -m "not slow"

test-slow: install  ## Run what `make test` leaves out
	$(PYTEST) -m slow

test-all: install  ## Run all tests
	$(PYTEST)

docs: install  ## Build the site, build/docs/index.html: documentation and pages of the results
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

KILLS ?= 200
soak: install  ## Kill sweeps with SIGKILL and compare what they end with (KILLS=200, half an hour or more)
	nice -n 15 $(BIN)/python -m tests.soak --kills $(KILLS)

atlas: $(VENV)/.measuring-atlas  ## Work on the atlas's rows for a time, at low priority, into results/ (UNTIL=3h)
	$(RLIDIM) --results results bench --tier atlas --until $(UNTIL) $(WORKERS_OPTION)

tables: install  ## Write results/TABLES.md, CSV, LaTeX and figures from the committed records
	$(RLIDIM) --results results tables
	cp results/headline.csv rlidim/report/suite.csv

reproduce: install $(filter %-atlas,$(MEASURING))  ## Complete the committed evidence in results/: make what runs are missing, then the tables
	$(RLIDIM) --results results bench --tier $(TIER) $(WORKERS_OPTION)

# The wheels lie in a folder that git ignores: carry it to the GPU machine with the checkout.
gpu-packages:  ## Download the wheels that a bare GPU machine lacks for queued experiments, and copy their data (build/gpu)
	rm -rf $(WHEELS)
	mkdir -p $(WHEELS)
	sed 's/#.*//' constraints.txt | grep -iE "^($$(echo $(GPU_PACKAGES) | tr ' ' '|'))==" > $(WHEELS)/pinned.txt
	test $$(wc -l < $(WHEELS)/pinned.txt) = $(words $(GPU_PACKAGES))  # constraints.txt spells one otherwise
	$(PYTHON) -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
	  --python-version $(GPU_PYTHON) --implementation cp \
	  $(foreach version,$(GPU_MANYLINUX),--platform manylinux_$(version)_x86_64) \
	  --platform manylinux2014_x86_64 -d $(WHEELS) -r $(WHEELS)/pinned.txt
	if [ -n "$$RLIDIM_DATA" ]; then mkdir -p $(WHEELS)/data && cp -r "$$RLIDIM_DATA"/mnist $(WHEELS)/data; fi
	du -sh $(WHEELS)

# Runs from the checkout with any python that has torch, triton, numpy and click; queued experiments
# use the wheels of gpu-packages where they are, installed apart from that python's own packages.
# Their data are read from RLIDIM_DATA, or from the copy that gpu-packages made of it. What they record that results/
# lacks is packed beside the timings; back home it is unpacked, and the next run goes on from it:
#   tar -xzf $(OUT)/queue.tar.gz -C results
# make gpu QUEUE=mnist-fc runs only what is queued of one task; its runs go on from build/gpu-runs.
gpu:  ## Run all that waits for a GPU with this python (no installation): correctness, timings, queue
	if ls $(WHEELS)/*.whl > /dev/null 2>&1; then \
	  rm -rf $(SITE) && $(PYTHON) -m pip install --quiet --disable-pip-version-check --no-index \
	    --no-deps --no-compile --target $(SITE) $(WHEELS)/*.whl; fi
	if [ -z "$$RLIDIM_DATA" ] && [ -d $(WHEELS)/data ]; then export RLIDIM_DATA="$(abspath $(WHEELS)/data)"; fi; \
	PYTHONPATH="$(abspath $(SITE))$${PYTHONPATH:+:$$PYTHONPATH}" $(PYTHON) -m rlidim gpu --out $(OUT) \
	  $(if $(QUEUE),--queue $(QUEUE)) $(if $(BUDGET),--budget $(BUDGET))

sanitize: install  ## Run the C++ kernels' tests under the address and undefined-behaviour sanitizers
	$(BIN)/cmake -S rlidim/projections/cpp_kernels -B build/sanitize -G Ninja -DRLIDIM_SANITIZE=ON \
	  -DCMAKE_BUILD_TYPE=RelWithDebInfo -DPython_EXECUTABLE=$(abspath $(BIN)/python) > /dev/null
	$(BIN)/cmake --build build/sanitize
	LD_PRELOAD="$$($(CXX) -print-file-name=libasan.so) $$($(CXX) -print-file-name=libstdc++.so)" \
	  ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
	  $(BIN)/python -m pytest -q -p no:cacheprovider tests/projections/test_cpp.py \
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
