# Two commands do everything on a fresh machine with Python 3.11+: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

# Modules are compiled once, not by each of the processes that tests and demo start, whatever the shell says.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test contracts lint lint-page docs clean

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt -e ".[dev,docs,registration,segmentation,detection,explain,dicom-out,explore,pdf]"
	touch $@

demo: $(STAMP)
	rm -rf demo
	$(BIN)/vesalius demo --out demo

test: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

# Every method with every backbone that it admits, and on two processes: about 20 minutes on two cores.
contracts: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m "slow or not slow" tests/contracts tests/training/test_processes.py

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy benchmarks --implicit-reexport --allow-untyped-calls --no-warn-return-any
	$(BIN)/lint-imports

# The explorer's page is plain modules, served as they are; TypeScript checks the types in their comments. Needs npm.
lint-page:
	npx --yes --package typescript@5.9 tsc --project src/vesalius/explorer/tsconfig.json

docs: $(STAMP)
	$(BIN)/mkdocs build --strict --quiet

clean:
	rm -rf .venv demo site build dist
