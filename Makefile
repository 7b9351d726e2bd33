PYTHON ?= python3
DEMO := .venv-demo
DEV := .venv
PACKAGES := -p ugrn.runtime -p ugrn.cli -p ugrn.export -p ugrn.web -p ugrn.artifacts -p bench
SOURCES := $(shell git ls-files export web runtime cli artifacts pyproject.toml README.md)

.PHONY: demo test fast soak check bench clean

demo: $(DEMO)/ready  ## lean install (no torch), then score the bundled artifact's example pairs
	$(DEMO)/bin/ugrn score --example -o demo-edges.csv --top 15

# Two workers share two cores: with more threads each they would wait for each other.
PYTEST := OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive $(DEV)/bin/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

test: check  ## everything: ruff, mypy strict, pytest; the same inputs in every run
	$(PYTEST)

fast: $(DEV)/ready  ## what neither exports nor trains
	$(PYTEST) -m "not slow"

soak: $(DEV)/ready  ## random inputs, attacks and kills with new seeds for SOAK minutes (5)
	$(DEV)/bin/python -m tests.soak

check: $(DEV)/ready
	$(DEV)/bin/ruff check .
	$(DEV)/bin/ruff format --check .
	$(DEV)/bin/mypy $(PACKAGES)

bench: $(DEV)/ready  ## the bundled artifact on real networks, next to controls; needs ../shared/data, 40 minutes
	$(DEV)/bin/ugrn benchmark ../shared/data -o benchmark-results

clean:
	rm -rf $(DEMO) $(DEV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(DEMO)/ready: $(SOURCES)
	$(PYTHON) -m venv $(DEMO)
	rm -rf build *.egg-info
	$(DEMO)/bin/python -m pip install --quiet --disable-pip-version-check '.[cpu]'
	touch $@

$(DEV)/ready: $(SOURCES)
	$(PYTHON) -m venv $(DEV)
	rm -rf build *.egg-info
	$(DEV)/bin/python -m pip install --quiet --disable-pip-version-check '.[cpu,benchmark,text,test,bench]'
	touch $@
