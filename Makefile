# Needs make and python3, 3.11 to 3.14 (another: make PYTHON=/path/to/python3); all else comes from requirements.lock, and what
# only tests and benchmarks need from requirements-test.lock.
#
#   make reproduce   run every notebook: tables in results/, figures in figures/, by profile and data set
#                    PROFILE=smoke|demo|study|paper  DATA=folder  AISTPP=folder  SEEDS=number  SHOTS=number  JOBS=number
#                    DATA=description.json: data in a folder that is not yours to write in (datasets/reading.py)
#                    SPLIT=released: pre-train and test choreographies of the authors' released code, which share music
#                    SPLIT=people: the people of a query are in no support (data that name their people)
#   make test        lint, unit tests, and the committed notebooks against what they compute
#   make select      choose every method's settings on validation: dancemvp_core/pretraining/selected.yaml; at the schedule of
#                    PROFILE: take that of your results, since a choice does not hold for a longer one (pretraining/README.md)
#                    REAL=folder: on the validation choreographies of these data, too
#   make bench       what the package does beside plain references: results/bench/ (ONLY=case,case  QUICK=1 for a check)
#   make lab         open the explorer in JupyterLab, on the run of PROFILE, DATA and SPLIT
#   make report      one static page of a run: claims, tables, figures, explorer; PROFILE, DATA and SPLIT as above
#   make site        the READMEs, the executed notebooks and the docstrings as pages: build/site/index.html
#   make test-browser  the explorer in a headless Chromium, which it installs where it may (part of make test)
#   make ship        put the assessor of a finished run of PROFILE into the package, for `dancemvp assess`
#   make readme      fill the README's tables from results/
#   make notebooks   run the notebooks at smoke and keep them, executed, in notebooks/
#   make setup       only .venv (setup-test: with the tests' packages);  make clean: forget by-products
#   make lock        choose package versions anew: requirements.lock, requirements-test.lock
.PHONY: reproduce test test-browser select bench lab report site ship readme notebooks setup setup-test lock clean
.DEFAULT_GOAL := reproduce

PYTHON ?= python3
PROFILE ?= demo
run = .venv/bin/python

# A folder's name may have any letter, and quotes and dollars too: recipes read it from the environment, as it was given.
override PROFILE := $(value PROFILE)
override DATA := $(value DATA)
override AISTPP := $(value AISTPP)
override SPLIT := $(value SPLIT)
override SEEDS := $(value SEEDS)
override SHOTS := $(value SHOTS)
override JOBS := $(value JOBS)
override ONLY := $(value ONLY)
override REAL := $(value REAL)
export PYTHON PROFILE DATA AISTPP REAL SPLIT SEEDS SHOTS JOBS ONLY
# In the terminal's encoding; a letter that it lacks ends nothing.
export PYTHONIOENCODING := $(patsubst x%,%,$(firstword $(subst :, ,x$(PYTHONIOENCODING)))):backslashreplace

reproduce: setup
	@exec $(run) workflow/reproduce.py --profile "$$PROFILE" --data "$$DATA" --aistpp "$$AISTPP" --split "$$SPLIT" \
	  --seeds "$$SEEDS" --shots "$$SHOTS" --jobs "$$JOBS"

# One thread a worker: two workers with two threads each would wait for one another.
test: export OMP_NUM_THREADS = 1
test: setup-test
	$(run) -m ruff check .
	$(run) -m pytest tests --ignore tests/browser -n 2 --dist worksteal
	$(run) workflow/reproduce.py --profile smoke
	PYTHONPATH=workflow $(run) workflow/warm.py --serve $(run) -m pytest -p nbval_ipc --nbval-lax --nbval-cell-timeout 600 \
	  -n 2 --dist loadfile notebooks
	$(run) -m dancemvp_core.explorer.report --profile smoke
	$(run) docs/build.py
	@sh tests/browser/chromium.sh || exit 0; $(browser_tests)

browser_tests = $(run) -m pytest tests/browser -n 2 --dist loadfile
test-browser: export OMP_NUM_THREADS = 1
test-browser: setup-test
	@sh tests/browser/chromium.sh || exit 0; \
	$(run) workflow/reproduce.py --profile smoke --only 04_fig5_embeddings && $(browser_tests)

select: export OMP_NUM_THREADS = 1
select: setup
	for split in "" validation2 validation3; do \
	  $(run) workflow/reproduce.py --profile "$$PROFILE" --split "$$split" --only 02_fig3_fig4_primitives || exit 1; done
	if [ "$$REAL" ]; then $(run) workflow/reproduce.py --profile "$$PROFILE" --data "$$REAL" --only 02_fig3_fig4_primitives; fi
	$(run) -m dancemvp_core.controls.selection --profile "$$PROFILE" --real "$$REAL"

bench: setup-test
	@exec $(run) -W ignore benchmarks/bench.py --only "$$ONLY" $(if $(QUICK),--quick)

lab: setup
	@mkdir -p build/lab
	@$(run) workflow/run_notebook.py --prepare-only notebooks/explore.ipynb build/lab/explore.ipynb "$$($(run) -c \
	  'import json, os; e = os.environ; data = e["DATA"] and os.path.abspath(e["DATA"]); \
	  print(json.dumps({"profile": e["PROFILE"], "data": data, "split": e["SPLIT"]}))')"
	@exec $(run) -m jupyterlab --notebook-dir=. --LabApp.default_url=/lab/tree/build/lab/explore.ipynb

report: setup
	@$(run) -m dancemvp_core.explorer.report --profile "$$PROFILE" --data "$$DATA" --split "$$SPLIT"

site: setup-test
	@$(run) docs/build.py

ship: setup
	@$(run) workflow/ship.py --profile "$$PROFILE"

readme: setup
	@$(run) workflow/fill_readme.py

notebooks: setup
	$(run) workflow/reproduce.py --profile smoke
	$(run) workflow/keep_executed.py

setup:
	@sh workflow/setup.sh

setup-test:
	@sh workflow/setup.sh test

# PyTorch asks for Triton, 1 GB, on Linux. Only torch.compile on a GPU needs it: here, one row of the benchmarks.
compile = .venv/bin/uv pip compile pyproject.toml --extra setup --universal --python-version 3.11 --generate-hashes \
  --no-emit-package triton --no-header --upgrade --quiet

lock: setup
	$(compile) --output-file requirements.lock
	$(compile) --extra test --constraint requirements.lock --output-file requirements-test.lock

clean:
	rm -rf build .snakemake
