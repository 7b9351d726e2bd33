PYTHON ?= python3
DEMO := .venv-demo
DEV := .venv
LOCK := $(CURDIR)/constraints.txt
PACKAGES := runtime cli artifacts export web
EXTRAS := cpu,bench,pandas,test,text
PIP := -m pip --quiet --disable-pip-version-check
export LOCK
export MYPYPATH := $(CURDIR)/$(DEV)/types

.PHONY: demo test test-latest fast published soak check bench lock release clean

demo: $(DEMO)/ready  ## lean install (no torch), then score the bundled artifact's example pairs
	$(DEMO)/bin/ugrn score --example -o demo-edges.csv --top 15

# Two workers share two cores: with more threads each they would wait for each other.
PYTEST := OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive $(DEV)/bin/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

test: check  ## everything that must hold before a merge: ruff, mypy strict, the rooms' rules, pytest; the same inputs in every run
	$(PYTEST)

fast: $(DEV)/ready  ## what neither exports nor trains
	$(PYTEST) -m "not slow"

published: $(DEV)/ready  ## whole models at their published sizes, against plain references, minutes of them
	$(PYTEST) -m published

soak: $(DEV)/ready  ## random inputs, attacks and kills with new seeds for SOAK minutes (5)
	$(DEV)/bin/python -m tests.soak

check: $(DEV)/ready
	$(DEV)/bin/ruff check .
	$(DEV)/bin/ruff format --check .
	$(DEV)/bin/mypy $(PACKAGES:%=-p ugrn.%) -p bench
	$(DEV)/bin/lint-imports

test-latest:  ## the same with the newest versions of everything, as if there were no constraints.txt
	$(MAKE) test DEV=.venv-latest LOCK=/dev/null

lock: $(DEV)/ready  ## choose the newest versions anew, for constraints.txt
	$(DEV)/bin/uv pip compile pyproject.toml $(foreach extra,$(subst $(comma), ,$(EXTRAS)),--extra $(extra)) \
		--universal --python-version 3.11 --upgrade --quiet --no-annotate --custom-compile-command "make lock" -o $(LOCK)

bench: $(DEV)/ready  ## the bundled artifact on real networks, next to controls; needs ../shared/data, 40 minutes
	$(DEV)/bin/ugrn benchmark ../shared/data -o benchmark-results

release: $(DEV)/ready  ## sdist and wheel in dist/, checked, and tried in an environment of their own; publishes nothing
	$(DEV)/bin/python .ci/release.py

clean:
	rm -rf $(DEMO) $(DEV) .venv-latest build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache

$(DEMO)/ready: $(LOCK) $(shell git ls-files $(PACKAGES) pyproject.toml README.md)
	$(PYTHON) -m venv $(DEMO)
	$(DEMO)/bin/python $(PIP) install --upgrade -c $(LOCK) setuptools
	$(DEMO)/bin/python $(PIP) install -c $(LOCK) --no-build-isolation '.[cpu]'
	rm -rf build *.egg-info
	touch $@

# Editable: a change of a module needs no new install. The type checker reads packages by their names, from links.
$(DEV)/ready: $(LOCK) pyproject.toml
	$(PYTHON) -m venv $(DEV)
	$(DEV)/bin/python $(PIP) install --upgrade -c $(LOCK) setuptools
	$(DEV)/bin/python $(PIP) install -c $(LOCK) --no-build-isolation -e '.[$(EXTRAS)]'
	mkdir -p $(DEV)/types/ugrn
	for package in $(PACKAGES); do ln -sfn "$(CURDIR)/$$package" $(DEV)/types/ugrn/$$package; done
	touch $@

comma := ,
