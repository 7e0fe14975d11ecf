# Leaky Gradients. `make` prints what there is to do; README.md says why.
SHELL := bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

PROFILE ?= quick
export PROFILE FRESH SEED DEVICE DATA_ROOT PICTURES COURSE JOBS CLUSTER
# Notebooks run side by side, in processes of one thread: what they compute depends on that number.
OMP_NUM_THREADS ?= 1
export OMP_NUM_THREADS
# Threads that spin at a barrier take the time of whatever runs beside them, and wait for it: on a busy
# machine two threads then took 20 to 100 times as long. They sleep instead; the numbers are the same.
GOMP_SPINCOUNT ?= 1000
OMP_WAIT_POLICY ?= PASSIVE
export GOMP_SPINCOUNT OMP_WAIT_POLICY
export PYTHONPATH := $(CURDIR)$(if $(PYTHONPATH),:$(PYTHONPATH))
# A user's kernel of the name python3 must not shadow this environment's: JUPYTER_PATH goes before all.
export JUPYTER_PREFER_ENV_PATH := 1
unexport JUPYTER_PATH
# A kernel sets its inline backend only where none is exported.
unexport MPLBACKEND

ifneq ($(DATA_ROOT),)
override DATA_ROOT := $(if $(filter /%,$(firstword $(DATA_ROOT))),,$(CURDIR)/)$(DATA_ROOT)
endif

# ---- what was asked for, checked before any work
ALL := $(sort $(basename $(notdir $(wildcard notebooks/[0-9][0-9]_*.py))))
NAMES := $(or $(NB),$(ALL))
VARIABLES := NB PROFILE JOBS CLUSTER FRESH SEED DEVICE DATA_ROOT PICTURES COURSE MUTANTS UPDATE MODEL HTML OPTIONS PYTHON PYTHON3
GIVEN := $(foreach word,$(MAKEOVERRIDES),$(if $(findstring =,$(word)),$(firstword $(subst =, ,$(word)))))
ifneq ($(filter-out $(VARIABLES),$(GIVEN)),)
$(error unknown variable $(filter-out $(VARIABLES),$(GIVEN)): make knows $(VARIABLES))
endif
ifeq ($(and $(filter 1,$(words $(PROFILE))),$(filter quick paper,$(PROFILE))),)
$(error unknown PROFILE=$(PROFILE): it is quick or paper)
endif
ifneq ($(filter-out 0 1,$(FRESH))$(word 2,$(FRESH)),)
$(error unknown FRESH=$(FRESH): it is 1 (compute again) or 0)
endif
ifneq ($(filter-out $(ALL),$(NB)),)
$(error unknown NB=$(NB): there are $(ALL))
endif

ifneq ($(and $(filter notebooks,$(MAKECMDGOALS)),$(filter-out quick,$(PROFILE) $(SEED) $(DEVICE) $(DATA_ROOT))),)
$(error a committed notebook is the quick run: give no PROFILE, SEED, DEVICE or DATA_ROOT)
endif

# ---- the environment: make PYTHON=... is taken as it is, then conda's, then our own .venv
VENV := .venv
PYTHON3 ?= python3
ifeq ($(origin PYTHON),command line)
READY :=
else ifeq ($(CONDA_DEFAULT_ENV),leaky-gradients)
PYTHON := python
READY :=
else
PYTHON := $(VENV)/bin/python
READY := $(VENV)/.complete
endif

# The stamp holds this folder's path: an environment that was copied or moved is set up again.
ifneq ($(shell cat $(VENV)/.complete 2>/dev/null),$(CURDIR))
.PHONY: $(VENV)/.complete
endif
$(VENV)/.complete: requirements.lock
	@"$(PYTHON3)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "Python 3.11 or newer is needed, and '$(PYTHON3)' is not that. Install it, or name one:" \
	       "make PYTHON3=/path/to/python3.11, or use conda: environment.yml" >&2; exit 1; }
	@"$(PYTHON3)" tools/environment.py

# ---- targets
.PHONY: help
help:  ## this text
	@echo "make <target> [NB=01_dlg] [PROFILE=quick|paper] [DATA_ROOT=...] [DEVICE=cuda] [SEED=0] [FRESH=1]"
	@echo "              [JOBS=2] [CLUSTER=8|slurm|tcp://host:8786]"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' Makefile | expand -t 14
	@echo "notebooks: $(ALL)"

.PHONY: figures
figures: $(READY)  ## run the notebooks; every figure and table in figures/<profile>
	@$(PYTHON) tools/figures.py $(NAMES)

.PHONY: notebooks
notebooks: figures  ## copy the executed quick run to notebooks/*.ipynb, as it is committed
	@$(PYTHON) tools/run_notebook.py publish $(NAMES)

# Two processes of one thread each take half the time of one with two. A notebook's cells stay in one.
PYTEST = OMP_NUM_THREADS=1 $(PYTHON) -m pytest -q -n 2
# The tests of a file share what they have set up, so they stay together, the long files first.
BY_FILE = --dist loadfile --no-loadscope-reorder

.PHONY: test test-all test-slow nbval
test: $(READY)  ## the tests, then the committed notebooks run again (nbval)
	@$(PYTEST) -rs $(BY_FILE) -m "not slow" tests
	@$(MAKE) nbval
test-all: $(READY)  ## the same with the slow tests
	@$(PYTEST) -rs $(BY_FILE) tests
	@$(MAKE) nbval
test-slow: $(READY)  ## the slow tests alone: the site in a browser, every assignment, every network
	@$(PYTEST) -rs --dist worksteal -m slow tests
nbval: $(READY)
ifeq ($(wildcard notebooks/*.ipynb),)
	@echo "no notebook in notebooks/ to run: make notebooks"
else
	@products=$$(mktemp -d) && trap 'rm -rf "$$products"' EXIT && \
	  unset SEED DEVICE FRESH && export PROFILE=quick QUIET=1 PRODUCTS="$$products" && \
	  $(PYTEST) --dist loadfile --nbval-lax --nbval-current-env notebooks/*.ipynb
endif

.PHONY: plan
plan: $(READY)  ## stored and missing results of a profile, with minutes and memory
	@$(PYTHON) tools/plan.py $(NAMES)

.PHONY: data weights
data: $(READY)  ## download the data sets of the paper profile to DATA_ROOT (data/)
	@$(PYTHON) tools/get_data.py --root "$(or $(DATA_ROOT),data)"
weights: $(READY)  ## download ImageNet weights (LPIPS, ResNet-18 and 152) to DATA_ROOT/weights
	@$(PYTHON) tools/get_weights.py --root "$(or $(DATA_ROOT),data)"

.PHONY: scoreboard
scoreboard: $(READY)  ## write SCOREBOARD.md, and its summary into README.md
	@$(PYTHON) tools/scoreboard.py

.PHONY: report
report: $(READY)  ## a reproduction report for each paper, Markdown and two pages of PDF, in build/reports
	@$(PYTHON) tools/reports.py $(NB)

.PHONY: cards
cards: $(READY)  ## docs/CARDS.md: a card for each data set and each generator
	@$(PYTHON) tools/cards.py

.PHONY: assignments
assignments: $(READY)  ## student versions in build/assignments, for nbgrader [SEED=7 PICTURES=digits COURSE=...]
	@$(PYTHON) tools/assignments.py

.PHONY: audit
audit: export UPDATE MODEL HTML OPTIONS
audit: $(READY)  ## what an update gives away [UPDATE=update.pt MODEL=net.py:Net HTML=report.html OPTIONS="--shape 3,32,32 ..."]
	@$(PYTHON) -m lib.audit "$$UPDATE" --model "$$MODEL" --html "$${HTML:-build/audit.html}" $$OPTIONS || \
	  test $$? -eq 1  # a leak found is a result, no error of make

.PHONY: wheel wheel-test examples
wheel: $(READY)  ## the package leaky_gradients, in build/wheel, to install beside a framework
	@$(PYTHON) tools/wheel.py
wheel-test: $(READY)  ## install it in an empty environment, and audit a file there: minutes
	@WHEEL_TEST=1 $(PYTHON) -m pytest -q -rs tests/test_wheel.py
examples: $(READY)  ## run examples/: Flower, Opacus, Hugging Face
	@$(PYTHON) tools/examples.py

.PHONY: solutions
solutions: $(READY)  ## run the solutions of the exercises, notebooks/solutions/*.ipynb
	@$(PYTHON) tools/solutions.py $(NB)

.PHONY: film
film: $(READY)  ## figures/attack.gif, from stored cells: an attack from noise to image
	@$(PYTHON) tools/frames.py

.PHONY: reading
reading: $(READY)  ## notebooks/READING.md: words, pictures and minutes of each page
	@$(PYTHON) tools/reading.py

.PHONY: site
site: $(READY)  ## a static site of notebooks, figures, scoreboard and reference in build/site/html
	@$(PYTHON) tools/build_site.py

.PHONY: bench
bench: $(READY)  ## time one attack step against a plain loop
	@$(PYTHON) bench/bench.py

.PHONY: mutants
mutants: $(READY)  ## change one line of lib or studies, 120 times: does a test go red? [MUTANTS=20]
	@$(PYTHON) tools/mutants.py $(or $(MUTANTS),120)

.PHONY: lint
lint: $(READY)  ## ruff
	@$(PYTHON) -m ruff check .

.PHONY: doctor
doctor: export JUPYTER_PATH := $(JUPYTER_PATH)
doctor: $(READY)  ## what this machine has, what is wrong, and the cure
	@$(PYTHON) tools/doctor.py

.PHONY: lock
lock: export OPTIONS
lock: $(READY)  ## write requirements.lock with hashes, and say what moved [OPTIONS=--upgrade]
	@$(PYTHON) tools/lock.py $$OPTIONS

.PHONY: clean
clean:  ## remove build/ and caches; data/ and figures/ stay
	@rm -rf build .pytest_cache .ruff_cache *.egg-info
	@find lib studies tools tests bench notebooks \( -name __pycache__ -o -name .ipynb_checkpoints \) \
	  -prune -exec rm -rf {} + 2>/dev/null || true
