# Everything here works alone on a fresh clone: what a target needs, it makes first.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
SHAPES := --input 'q=b h n d' --input 'k=b h m d' --input 'v=b h m d'
ATTENTION := examples/attention.py:attention
LIBRARY := examples/attention.py:library_attention
OUT := build/attention

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install run test coq benchmark format clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(INSTALLED) ## Create .venv with the package and all that it and its tests need

# The stamp comes last, so that an installation which was cut short starts again.
$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check torch==2.13.0
	$(BIN)/python -m pip install --disable-pip-version-check --editable '.[all,dev]'
	@touch $@

run: $(INSTALLED) ## See attention proved equal, its streamed kernel derived, and that kernel run
	@mkdir -p build
	@echo '--- The definition of attention is what PyTorch computes, for all sizes:'
	$(BIN)/ncd prove $(ATTENTION) $(LIBRARY) $(SHAPES) --certificate build/attention.json
	@echo
	@echo '--- Anyone can check the proof, without the search that found it:'
	$(BIN)/ncd check build/attention.json --left $(ATTENTION) --right $(LIBRARY)
	@echo
	@echo '--- A streamed algorithm follows from the definition:'
	$(BIN)/ncd derive $(ATTENTION) $(SHAPES) --hardware h100 \
		--size b=1 --size h=16 --size n=4096 --size m=4096 --size d=64 --out $(OUT)
	@echo
	@echo '--- Its kernel computes the same:'
	$(BIN)/python examples/run_kernel.py $(OUT)/kernel.py:attention $(ATTENTION)

test: $(INSTALLED) coq ## Check the format, lint, types and tests, with the proofs in Coq
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses 2

# Where Coq cannot be had, the tests that need it are skipped, except in CI, where they fail.
coq:
	@command -v coqc >/dev/null \
		|| { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
			&& { apt-get install --yes --no-install-recommends coq \
				|| { apt-get update && apt-get install --yes --no-install-recommends coq; }; }; } \
		|| echo '*** Coq is not installed: NO PROOF IS CHECKED IN COQ (apt-get install coq) ***'

benchmark: $(INSTALLED) ## Measure what the README claims
	@set -e; for script in benchmarks/*.py; do \
		[ -e "$$script" ] || { echo 'there are no benchmarks yet'; exit 0; }; \
		echo "$(BIN)/python $$script"; PYTHONPATH=. $(BIN)/python "$$script"; \
	done

format: $(INSTALLED) ## Format the code and sort its imports
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## Remove the environment and all that was built
	rm -rf $(VENV) build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
