# One line per verb. `make demo` needs the run-time set only; everything else needs the development set.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
UV     := $(BIN)/uv pip
# A worker a core and two more, for many tests wait for servers; each has one BLAS thread (conftest.py), and a module's
# fixtures stay in one worker.
PYTEST_ARGS ?= -n $(shell echo $$(( $$(nproc 2>/dev/null || echo 2) + 2 ))) --dist loadscope --no-loadscope-reorder
# The instance that `make demo` fills and `make ui` shows; dagster.yaml refers to it.
export SOIL_HOME    ?= $(CURDIR)/.soil
export DAGSTER_HOME ?= $(CURDIR)

.PHONY: demo ui setup test test-without-data check format lint types docs secrets sbom audit lock clean help

help:            ## this list
	@grep -E '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## ?/\t/' | expand -t 12

demo: $(VENV)/run-time.stamp  ## set-up, then the whole chain on real spectra
	@$(BIN)/soil demo

ui: $(VENV)/run-time.stamp    ## the Dagster UI with daemon and sensors on the demo's instance, http://127.0.0.1:3000
	@$(BIN)/soil ui

setup: $(VENV)/dev.stamp $(VENV)/sbom.stamp  ## everything: run time, development and bench tools

test: $(VENV)/dev.stamp $(VENV)/sbom.stamp  ## set-up, then the tests
	@$(BIN)/pytest -q $(PYTEST_ARGS) -m "not bench"

test-without-data: $(VENV)/dev.stamp  ## tests that can read data beside the checkout, in a clone that has none beside it
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && git clone -q . "$$folder/clone" && cd "$$folder/clone" \
	&& PYTHONPATH="$$folder/clone" "$(CURDIR)/$(BIN)/python" -m pytest -q -m shared $$(grep -rl "pytest.mark.shared" soil_assets_tests --include="test_*.py" --exclude=test_architecture.py)

check: lint types test        ## format, lint, types and tests: what CI runs

lint: $(VENV)/dev.stamp       ## ruff's formatter and linter
	@$(BIN)/ruff format --check --quiet . || { echo "run: make format"; exit 1; }
	@$(BIN)/ruff check --quiet .

types: $(VENV)/dev.stamp      ## mypy, strict
	@$(BIN)/mypy --no-error-summary

format: $(VENV)/dev.stamp     ## mend what ruff can mend
	@$(BIN)/ruff format --quiet . && $(BIN)/ruff check --fix --quiet .

docs: $(VENV)/dev.stamp       ## the documentation site, build/site/index.html; needs no network
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

secrets: $(VENV)/dev.stamp    ## look for secrets in the tracked files
	@$(BIN)/python .ci/find_secrets.py

sbom: $(VENV)/sbom.stamp      ## what is inside, as CycloneDX: build/sbom.json
	@mkdir -p build
	@$(VENV)/sbom/bin/python -W ignore -m cyclonedx_py requirements --pyproject pyproject.toml --output-reproducible -o build/sbom.json requirements.txt

audit: $(VENV)/dev.stamp      ## ask for known weaknesses of everything in the locks
	@$(BIN)/python .ci/audit.py

lock: $(BIN)/uv               ## compile the pins again (hashed, no index address)
	$(UV) compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --custom-compile-command "make lock" pyproject.toml -o requirements.txt
	$(UV) compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --custom-compile-command "make lock" -c requirements.txt --extra k8s --extra dvc --extra alerts --extra serve --extra server --extra docs --group dev --group bench pyproject.toml -o requirements-dev.txt
	$(UV) compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --custom-compile-command "make lock" -c requirements.txt --extra s3 --extra gcs --extra azure pyproject.toml -o requirements-cloud.txt
	$(UV) compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --custom-compile-command "make lock" -c requirements.txt --extra serve --extra server --extra s3 --extra k8s --extra alerts pyproject.toml -o deploy/docker/requirements.txt
	$(UV) compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --custom-compile-command "make lock" --group sbom -o .ci/requirements-sbom.txt
	$(UV) compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --custom-compile-command "make lock" .github/requirements-dagster-cloud.in -o .github/requirements-dagster-cloud.txt

clean:           ## forget the demo's instance
	rm -rf .soil

$(BIN)/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "soil_assets needs Python 3.11 or newer; try: make demo PYTHON=python3.12"; exit 2; }
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -q --disable-pip-version-check uv==0.13.9

$(VENV)/run-time.stamp: requirements.txt pyproject.toml | $(BIN)/uv
	@echo "installing the run-time packages into $(VENV) ..."
	@$(UV) install -q --compile-bytecode --require-hashes -r requirements.txt
	@$(UV) install -q --no-deps -e .
	@touch $@

$(VENV)/dev.stamp: requirements-dev.txt requirements.txt pyproject.toml | $(BIN)/uv
	@echo "installing the development packages into $(VENV) ..."
	@$(UV) install -q --compile-bytecode --require-hashes -r requirements-dev.txt
	@$(UV) install -q --no-deps -e .
	@touch $@ $(VENV)/run-time.stamp

$(VENV)/sbom.stamp: .ci/requirements-sbom.txt | $(BIN)/uv
	@echo "installing the tool of the bill of materials into $(VENV)/sbom ..."
	@$(BIN)/uv venv -q --clear --python $(BIN)/python $(VENV)/sbom
	@$(UV) install -q --python $(VENV)/sbom --require-hashes -r .ci/requirements-sbom.txt
	@touch $@
