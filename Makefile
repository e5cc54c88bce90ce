VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test test-dialects faults check bench serve clean

$(VENV)/.ready: pyproject.toml constraints.txt
	python3 -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python \
		--constraint constraints.txt --editable . --group dev
	touch $@

demo: $(VENV)/.ready
	$(BIN)/capacity demo

test: $(VENV)/.ready
	./tests/install_servers
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest --numprocesses logical --maxprocesses 4 --dist worksteal
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --include='src/capacity_core/*' --fail-under=100
	$(BIN)/coverage report --include='src/capacity_adapters/*,src/capacity_http/*' --fail-under=90

$(VENV)/.dialects: $(VENV)/.ready
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python \
		--constraint constraints.txt --group dialects
	touch $@

test-dialects: $(VENV)/.dialects
	./tests/install_servers
	./tests/dialects/install
	$(BIN)/python -m pytest tests/dialects

faults: $(VENV)/.ready
	./tests/install_servers
	$(BIN)/python -m tests.faults.run

check: $(VENV)/.ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.ready
	./tests/install_servers
	$(BIN)/python -m bench.run
	$(BIN)/python -m bench.aggregate
	$(BIN)/python -m bench.fleet
	$(BIN)/python -m bench.history --instances 20 --databases 500

serve: $(VENV)/.ready
	$(BIN)/capacity serve

clean:
	rm -rf $(VENV) .build demo .coverage*
