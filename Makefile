# make demo                    render sample videos and make a dataset of them
# make demo VIDEOS=/my/videos  make a dataset of your own videos
# make models                  install what the model backends need: torch, transformers, EasyOCR
# make test                    run all tests
# make bench                   measure speed
# make bench-models            measure the models' speed against the usual way: ten minutes without a GPU
# make lock                    resolve the pinned packages anew

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
LOCK := $(BIN)/uv pip compile --quiet --python $(BIN)/python --universal --python-version 3.11 --no-header --no-annotate
SAMPLES := demo/videos

ifdef VIDEOS
OUTDIR ?= results
else
OUTDIR ?= demo/results
endif
export VIDEOS OUTDIR

.PHONY: demo test bench bench-models lock install models

install: $(VENV)/core.stamp

$(VENV)/core.stamp: envs/core.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "clipmill needs Python 3.11 or newer: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) -r envs/core.txt
	touch $@

models: $(VENV)/models.stamp

# Versions come from models.txt, the build of torch from wherever pip is set to look: see docs/dependencies.md.
$(VENV)/models.stamp: envs/models.in envs/models.txt $(VENV)/core.stamp
	$(INSTALL) -r envs/models.in -c envs/models.txt
	touch $@

$(VENV)/test.stamp: envs/test.txt $(VENV)/core.stamp
	$(INSTALL) -r envs/test.txt
	touch $@

# The two settings go through a file, so that a path may hold any character.
demo: $(VENV)/core.stamp
	@mkdir -p demo && \
	if [ -z "$$VIDEOS" ]; then \
	    $(BIN)/python scripts/render_samples.py $(SAMPLES) && export VIDEOS=$(SAMPLES); \
	fi && \
	$(BIN)/python -c 'import json, os; print(json.dumps({"videos": os.environ["VIDEOS"], "outdir": os.environ["OUTDIR"]}))' \
	    > demo/config.json && \
	$(BIN)/snakemake --profile profiles/local --configfile demo/config.json && \
	{ [ "$$OUTDIR/summary.json" -nt demo/config.json ] || $(BIN)/python scripts/summary.py "$$OUTDIR"; }

test: $(VENV)/models.stamp $(VENV)/test.stamp
	$(BIN)/python -m pytest -q -n 2 --dist loadfile --durations 10 tests $(PYTEST)

bench: $(VENV)/core.stamp
	@test -d ../shared/videos || $(BIN)/python scripts/render_samples.py $(SAMPLES)
	$(BIN)/python tests/bench/bench.py

bench-models: $(VENV)/models.stamp
	@test -d ../shared/videos || $(BIN)/python scripts/render_samples.py $(SAMPLES)
	$(BIN)/python tests/bench/bench_models.py $(BENCH)

# Each lock keeps to the one before it, so that all fit into one environment.
lock: $(VENV)/test.stamp
	$(LOCK) --generate-hashes -o envs/core.txt envs/core.in
	$(LOCK) -c envs/core.txt -o envs/models.txt envs/models.in
	$(LOCK) --generate-hashes -c envs/models.txt -o envs/test.txt envs/test.in
