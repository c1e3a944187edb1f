# What a person runs. Every target sets up what it needs by itself; `make` alone lists them.
#   PYTHON=/path/to/python make test     another interpreter, 3.11 or newer
#   PORT=5001 make ui                    another port
#   PYTEST="-k ruler" make test          arguments for pytest
.DEFAULT_GOAL := help
PYTHON ?=
PORT ?= 5000
PYTEST ?=

VENV := .venv
BIN := $(VENV)/bin
# Written at the end of an installation: where, and from which requirements. Contents, not times,
# are compared, since git touches files without changing them; requirements and entry points stand
# before pyproject's first [tool...] table, the rest needs no installation.
INSTALLED := $(VENV)/.installed
UNFINISHED := $(VENV)/.unfinished
LOCK := $(VENV).lock
STATE := { pwd -P; sed '/^\[tool/,$$d' pyproject.toml | cat - constraints.txt | cksum; }

# An activated other environment must not leak in; DVC's stages call plain `python`.
unexport PYTHONPATH PYTHONHOME
export VIRTUAL_ENV := $(CURDIR)/$(VENV)
export PATH := $(CURDIR)/$(BIN):$(PATH)
export MLFLOW_DISABLE_TELEMETRY := true
export DO_NOT_TRACK := true
export DVC_NO_ANALYTICS := true
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help repro test ui check constraints clean install

help: ## list these targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' Makefile | \
		while IFS='|' read -r target what; do printf '%-18s %s\n' "$$target" "$$what"; done

repro: install ## run the pipeline on your data: only what changed runs again; then the verdict
	@$(BIN)/python -m hourglass check
	@$(BIN)/python -m hourglass repair >/dev/null
	@$(BIN)/python -m dvc repro
	@$(BIN)/python -m hourglass summary

# One thread a process: the workers share the cores already. A file's tests stay together, so that
# what they share is made once; the files with long tests come first (tests/conftest.py).
test: install ## run all tests
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile \
		--no-loadscope-reorder $(PYTEST)

# Without MLflow's job runner: nothing here uses it, and it is eight processes with 600 MB that end
# in tracebacks at Ctrl-C.
ui: install ## look at runs, pictures and models in MLflow
	@: "$${MLFLOW_TRACKING_URI:=sqlite:///mlflow.db}"; \
	shown=$$(echo "$$MLFLOW_TRACKING_URI" | sed 's#\(://[^/:@]*\):.*@#\1:***@#'); \
	case "$$MLFLOW_TRACKING_URI" in \
		http*) echo "Runs are kept by the server at $$shown: open it in a browser.";; \
		*) case "$(PORT)" in ''|*[!0-9]*) echo "PORT=$(PORT) is no number" >&2; exit 1;; esac; \
		$(BIN)/python -c 'import socket; socket.create_server(("127.0.0.1", $(PORT))).close()' \
			2>/dev/null || { echo "Port $(PORT) is in use; take another: PORT=5001 make ui" >&2; exit 1; }; \
		echo "MLflow shows $$shown (Ctrl-C ends it). Open, and choose hourglass:"; \
		echo "  http://127.0.0.1:$(PORT)/#/experiments?workflowType=machine_learning"; \
		MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false \
		exec $(BIN)/python -m mlflow server --host 127.0.0.1 --port $(PORT) --workers 1 \
			--backend-store-uri "$$MLFLOW_TRACKING_URI";; \
	esac

check: install ## lint, format, types, import floors
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy
	$(BIN)/lint-imports

# torch is held at the version that the golden numbers of the tests come from.
TORCH := 2.13.0
constraints: ## pin today's newest versions of all packages in constraints.txt
	@set -e; $(FIND_PYTHON); \
	new=$$(mktemp -d); trap 'rm -rf "$$new"' EXIT; \
	echo "Installing into a fresh environment (a few minutes) ..."; \
	"$$python" -m venv "$$new/venv"; \
	echo "torch==$(TORCH)" > "$$new/torch.txt"; \
	"$$new/venv/bin/python" -m pip install -qq -c "$$new/torch.txt" -e '.[dev]'; \
	{ \
		echo "# Every package of '.[dev]', transitive ones too, as resolved by \`make constraints\`"; \
		echo "# with $$("$$python" -V) on $$(uname -sm). Made, not edited: run it again to renew."; \
		echo "# Builds of torch for GPUs add NVIDIA's packages, in versions that torch chooses."; \
		"$$new/venv/bin/python" -m pip list --format=freeze \
			--exclude pip --exclude hourglass | sed 's/+.*//'; \
	} > "$$new/constraints.txt"; \
	mv "$$new/constraints.txt" constraints.txt; \
	echo "constraints.txt is renewed: run \`make test\`, then commit it."

clean: ## remove the environment and tools' caches; data, models, reports and runs stay
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

# Sets $python. The first that is new enough and can make environments; 3.11 leads because
# constraints.txt was resolved with it.
define FIND_PYTHON
for python in $(if $(PYTHON),"$(PYTHON)",python3.11 python3.12 python3.13 python3.14 python3); do \
	"$$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' \
		>/dev/null 2>&1 && break; \
	python=; \
done; \
if [ -z "$$python" ]; then \
	echo "No Python 3.11 or newer with venv and pip was found (tried $(or $(PYTHON),python3.11 to python3.14 and python3))." >&2; \
	echo "Install one (Debian, Ubuntu: apt install python3 python3-venv; macOS: brew install python)," >&2; \
	echo "or name it: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)" >&2; \
	exit 1; \
fi
endef

# Ready: made here, from these requirements, and it runs. Checked on each call, in some 20 ms.
READY := $(shell [ "$$(cat $(INSTALLED) 2>&1)" = "$$($(STATE))" ] && \
	$(BIN)/python -I -c 'import hourglass' >/dev/null 2>&1 && echo yes)

ifeq ($(READY),yes)
install: ;
else
# An environment is made anew if an installation here was broken off, if it came from another
# folder, or if its Python is gone; else it is brought up to date. One make at a time does so, the
# others wait; the lock of one that was killed counts for nothing. If pip merely fails (no network)
# an environment that was whole before stays.
install: ## (done by the others) make .venv and install into it
	@set -e; told=; \
	until mkdir $(LOCK) 2>/dev/null; do \
		other=$$(cat $(LOCK)/process 2>/dev/null || { sleep 1; cat $(LOCK)/process 2>/dev/null; }) || true; \
		if [ -n "$$other" ] && kill -0 "$$other" 2>/dev/null; then \
			[ -n "$$told" ] || echo "Waiting for another make that installs here (process $$other) ..."; \
			told=yes; \
			sleep 1; \
		else \
			rm -rf $(LOCK); \
		fi; \
	done; \
	echo $$$$ > $(LOCK)/process; \
	trap 'rm -rf $(LOCK)' EXIT; \
	if [ -e $(UNFINISHED) ] || ! $(BIN)/python -m pip --version >/dev/null 2>&1 || \
		{ [ -e $(INSTALLED) ] && [ "$$(head -n 1 $(INSTALLED))" != "$$(pwd -P)" ]; }; then \
		$(FIND_PYTHON); \
		echo "Making $(VENV) with $$("$$python" -V) ..."; \
		rm -rf $(VENV); \
		mkdir $(VENV); \
		: > $(UNFINISHED); \
		"$$python" -m venv $(VENV); \
	fi; \
	whole=no; [ ! -e $(INSTALLED) ] || whole=yes; \
	trap 'exit 130' INT TERM; \
	: > $(UNFINISHED); \
	echo "Installing into $(VENV): a few minutes and 2 GB the first time ..."; \
	{ while sleep 5 && kill -0 $$$$ 2>/dev/null; do printf .; done; } & dots=$$!; \
	trap 'kill $$dots 2>/dev/null; rm -rf $(LOCK)' EXIT; \
	$(BIN)/python -m pip install -qq -c constraints.txt -e '.[dev]' || { \
		[ $$whole = no ] || rm -f $(UNFINISHED); \
		echo "The installation failed, see above; the same command tries again." >&2; \
		exit 1; \
	}; \
	$(STATE) > $(INSTALLED); \
	rm -f $(UNFINISHED); \
	echo " installed."
endif
