# Shortcuts for what CONTRIBUTING.md asks for; run them in the environment of `pip install -e ".[dev]"`.
.PHONY: check test test-fast docs

check:  ## lint, format and types
	ruff check .
	ruff format --check .
	mypy

test:  ## the whole suite, as README.md gives it
	pytest -n 2

test-fast:  ## the suite without the tests marked slow
	pytest -n 2 -m "not slow"

docs:  ## the documentation site; needs the extra `docs`
	mkdocs build --strict
