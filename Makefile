# Everything runs in a virtual environment of the tree's own; only Python and a C compiler are needed.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
JOBS ?= 2

.PHONY: demo test test-pure test-fallbacks sanitize lint types baseline bench bench-full screenshots dist clean

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"

# Stamped by the files that decide what is compiled and installed.
NATIVE = $(wildcard _ext/*.pyx _ext/*.pxi _ext/src/* fastxfer/_ext/*.pxd)
$(VENV)/.installed: $(BIN)/python pyproject.toml setup.py $(NATIVE)
	$(BIN)/python -m pip install --quiet --editable ".[all]" --group test
	@touch $@

$(VENV)/.lint: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --group lint
	@touch $@

$(VENV)/.bench: $(VENV)/.installed pyproject.toml
	$(BIN)/python -m pip install --quiet --group bench
	@touch $@

demo: $(VENV)/.installed
	$(BIN)/fastxfer demo

test: $(VENV)/.installed
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal

test-pure: $(VENV)/.installed
	FASTXFER_PURE=1 $(BIN)/python -m pytest -n $(JOBS) --dist worksteal

# Each single fallback forced, with all tests of the areas whose code can come to run it; an area that is not named does
# not use what the fallback replaces, or only through one that is. AREAS=. runs all tests under each.
CRC_AREAS = core,xfer,fdfs,node,ftp,server
LOOP_AREAS = xfer,net,fdfs,node,ftp,ftppy,server,web
FALLBACKS = FASTXFER_CRC32=table:$(CRC_AREAS) FASTXFER_CRC32=pclmul:$(CRC_AREAS) FASTXFER_CRC32=vpclmul:$(CRC_AREAS) \
	FASTXFER_NO_SENDFILE=1:$(LOOP_AREAS) FASTXFER_NO_SPLICE=1:$(LOOP_AREAS) FASTXFER_NO_EPOLL=1:$(LOOP_AREAS) \
	FASTXFER_PURE=crc32:$(CRC_AREAS) FASTXFER_PURE=wire:core,fdfs,node,cli FASTXFER_PURE=buffers:core,xfer,fdfs FASTXFER_PURE=fdfscall:core,fdfs \
	FASTXFER_PURE=ftpwire:core,ftp,ftppy,server,web FASTXFER_PURE=xfer,engine:$(LOOP_AREAS) FASTXFER_PURE=engine:$(LOOP_AREAS)
test-fallbacks: $(VENV)/.installed
	set -e; for run in $(FALLBACKS); do \
		areas=$${run##*:}; areas=$${AREAS:-$$areas}; echo "== $${run%:*}: $$areas"; \
		env "$${run%:*}" $(BIN)/python -m pytest -q -n $(JOBS) --dist worksteal $$(echo "$$areas" | sed 's,[^\,]*,tests/&,g' | tr , ' '); \
	done

sanitize: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet "setuptools>=77" "cython>=3.1"
	PYTHON="$(abspath $(BIN))/python" bash tests/sanitize.sh

lint: $(VENV)/.installed $(VENV)/.lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PATH="$(abspath $(BIN)):$$PATH" cython-lint _ext fastxfer/_ext

types: $(VENV)/.installed $(VENV)/.lint
	$(BIN)/mypy

# What tests/guard compares with, written anew: system calls with the first of these Pythons, instructions with each.
PYTHONS ?= python3.12 python3.10 python3.11 python3.13
baseline:
	set -e; tests=tests/guard; for python in $(PYTHONS); do \
		venv=.venv-$$($$python -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
		$(MAKE) PYTHON=$$python VENV=$$venv $$venv/.installed; \
		FASTXFER_WRITE_BASELINE=1 $$venv/bin/python -m pytest -q $$tests; tests=tests/guard/test_instructions.py; \
	done

bench: $(VENV)/.bench
	$(BIN)/python -m benchmarks.macro --short

bench-full: $(VENV)/.bench
	$(BIN)/python -m benchmarks.macro --full

screenshots: $(VENV)/.installed
	$(BIN)/python -m tests.web.screenshots

dist: $(BIN)/python
	$(BIN)/python -m pip install --quiet build
	$(BIN)/python -m build

clean:
	rm -rf $(VENV) build dist *.egg-info
	find . -name '*.so' -not -path './.git/*' -delete
