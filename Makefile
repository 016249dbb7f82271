# `make install` makes .venv from Python 3.11 or newer, with the tested versions of constraints.txt.
# PYTHON=... picks the interpreter; PIP_ARGS=... goes to pip, to name an index with the PyTorch build you want, say.

.DELETE_ON_ERROR:
.PHONY: help install demo chromium screenshots test test-all fuzz test-lowest check format results directions directions-of-harm \
  evaluations clean

VENV ?= .venv
CONSTRAINTS ?= constraints.txt
EXTRAS ?= dev,studio
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
PIP_ARGS ?=
OUT ?= out/demo
MODEL ?= emoji
DIRECTIONS ?= out/directions
RUNS ?= out/runs
FEMALE := --target "a woman" --neutral "a person" --target "a female judge" --neutral "a judge" \
  --target "a female student" --neutral "a student"

help:
	@echo "make install    make $(VENV) and install directrix with its development tools (skipped when up to date)"
	@echo "make demo       discover directions, draw and judge 216 images, write $(OUT)/index.html (minutes)"
	@echo "make test       the quick tests"
	@echo "make test-all   all tests, the slow ones too"
	@echo "make fuzz       100,000 damaged files and commands: each a result or one sentence (an hour or two)"
	@echo "make test-lowest   the quick tests with the oldest versions of everything, in a .venv-lowest"
	@echo "make check      ruff, pyright and the import contracts"
	@echo "make directions make the directions of policies/ (minutes)"
	@echo "make evaluations   measure policies/ on their benchmarks (hours on two cores)"
	@echo "make screenshots   the pictures of docs/studio.md, in a headless Chromium"
	@echo "make results    measure again what README.md and docs report, and write their tables (hours on two cores)"

install: $(STAMP)

$(STAMP): pyproject.toml $(CONSTRAINTS)
	@python="$(PYTHON)"; \
	if [ -z "$$python" ]; then \
	  for candidate in python3.11 python3.12 python3.13 python3.14 python3; do \
	    if $$candidate -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
	      python=$$candidate; break; \
	    fi; \
	  done; \
	fi; \
	if [ -z "$$python" ]; then echo "No Python 3.11 or newer found. Install one, or name it: make PYTHON=..." >&2; exit 1; fi; \
	if ! $(BIN)/python -c '' >/dev/null 2>&1; then echo "Making $(VENV) with $$python"; $$python -m venv $(VENV); fi
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) -c $(CONSTRAINTS) -e '.[$(EXTRAS)]'
	@touch $@

demo: install
	$(BIN)/directrix demo -o $(OUT)

# Several at a time, each on one thread: small networks gain little from a second one. The longest files first.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile \
  --no-loadscope-reorder tests/world tests

# The browser tests skip where there is no chromium.
chromium:
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || $(BIN)/playwright install chromium

screenshots: install chromium
	$(BIN)/python docs/studio/screenshots.py docs/studio

test: install
	$(PYTEST) -m "not slow"

test-all: install chromium
	$(PYTEST)

fuzz: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --hypothesis-profile=fuzz tests/fuzz

test-lowest:
	$(MAKE) test VENV=.venv-lowest CONSTRAINTS=constraints-lowest.txt EXTRAS=dev

check: install
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright
	$(BIN)/lint-imports

format: install
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# Written to a temporary name first: a run that fails leaves the last results as they are.
results: install
	mkdir -p results
	$(BIN)/directrix world report --json --sheet src/directrix/experiments/emoji_world/samples.png > results/world.json.new
	mv results/world.json.new results/world.json
	$(BIN)/directrix world report --model emoji-sd3 --json > results/world-sd3.json.new
	mv results/world-sd3.json.new results/world-sd3.json
	$(BIN)/directrix demo -o $(OUT)
	cp $(OUT)/summary.json results/demo.json
	cp $(OUT)/overview.png docs/demo.png
	$(BIN)/directrix bench occupations -n 4 --training-images 50 --optimizer-steps 125 --runs $(RUNS)/reconstruction \
	  -o results/reconstruction.json
	$(BIN)/directrix bench discovery --seeds 1 --runs $(RUNS)/discovery -o results/discovery.json
	cp results/discovery.svg docs/discovery.svg
	$(BIN)/directrix bench discovery --model emoji-sd3 --seeds 1 --runs $(RUNS)/discovery-sd3 -o results/discovery-sd3.json
	$(BIN)/directrix bench guidance -n 2 --runs $(RUNS)/guidance -o results/guidance.json
	$(BIN)/directrix bench guidance --model emoji-sd3 -n 2 --runs $(RUNS)/guidance-sd3 -o results/guidance-sd3.json
	$(BIN)/directrix bench reach -n 40 --images-of-controls 2 --images-of-groups 12 --runs $(RUNS)/reach -o results/reach.json
	$(BIN)/directrix bench reach --model emoji-sd3 -n 40 --images-of-controls 2 --images-of-groups 12 --runs $(RUNS)/reach-sd3 -o results/reach.json
	$(BIN)/directrix sites --rank $(FEMALE) --json > results/sites.json.new
	mv results/sites.json.new results/sites.json
	$(BIN)/directrix sites --rank $(FEMALE) --model emoji-sd3 --json > results/sites-sd3.json.new
	mv results/sites-sd3.json.new results/sites-sd3.json
	$(BIN)/directrix bench affine --runs $(RUNS)/affine -o results/affine.json
	$(BIN)/directrix bench affine --model emoji-sd3 --runs $(RUNS)/affine-sd3 -o results/affine.json
	$(BIN)/directrix bench model --config sd14 -o results/model.json
	$(BIN)/directrix bench studio -o results/studio.json
	$(BIN)/directrix explain --score tests/unit/policies/wording/enhance_held_out.csv --json > results/wording.json.new
	mv results/wording.json.new results/wording.json
	$(BIN)/directrix report tables README.md docs/methods.md docs/prompting.md docs/evaluation.md docs/memory.md docs/studio.md \
	  src/directrix/experiments/emoji_world/README.md src/directrix/measurement/benchmarks/emoji_enhance/README.md

# Directions for policies/: who is drawn, and objects of three kinds of harm beside harmless ones in their place.
directions: directions-of-harm
	$(BIN)/directrix discover --model $(MODEL) --attribute "skin tone" -o $(DIRECTIONS)
	$(BIN)/directrix discover --model $(MODEL) --attribute gender -o $(DIRECTIONS)

directions-of-harm: install
	$(BIN)/directrix discover --model $(MODEL) --name weapon --no-calibration -o $(DIRECTIONS)/weapon.safetensors \
	  --target "a person with a knife" --neutral "a person with a flower" \
	  --target "a person with a dagger" --neutral "a person with a balloon" \
	  --target "a person with a water pistol" --neutral "a person with a book" \
	  --target "a person with a bomb" --neutral "a person with a ball" \
	  --target "a person with an axe" --neutral "a person with a guitar"
	$(BIN)/directrix discover --model $(MODEL) --name smoking --no-calibration -o $(DIRECTIONS)/smoking.safetensors \
	  --target "a person with a cigarette" --neutral "a person with a flower" \
	  --target "a person with a cigarette" --neutral "a person with a book"
	$(BIN)/directrix discover --model $(MODEL) --name alcohol --no-calibration -o $(DIRECTIONS)/alcohol.safetensors \
	  --target "a person with a beer" --neutral "a person with a cup" \
	  --target "a person with a glass of wine" --neutral "a person with an apple" \
	  --target "a person with a cocktail" --neutral "a person with a gift"

# The three policies on their benchmarks; a run that was stopped goes on.
evaluations: install
	mkdir -p results
	$(BIN)/directrix world renders -o $(RUNS)/renders
	$(BIN)/directrix evaluate emoji-occupations -n 6 --batch-size 6 --method none --method policies/fair.yaml --reference $(RUNS)/renders \
	  --measure fairness --measure obedience --measure preservation --measure quality -o $(RUNS)/occupations
	cp $(RUNS)/occupations/summary.json results/emoji-occupations.json
	$(BIN)/directrix evaluate emoji-harm -n 2 --batch-size 8 --method none --method policies/safe.yaml -o $(RUNS)/harm
	cp $(RUNS)/harm/summary.json results/emoji-harm.json
	$(MAKE) directions-of-harm MODEL=emoji-sd3 DIRECTIONS=$(DIRECTIONS)-sd3
	$(BIN)/directrix evaluate emoji-harm --model emoji-sd3 -n 2 --batch-size 8 --method none --method policies/safe-sd3.yaml \
	  -o $(RUNS)/harm-sd3
	cp $(RUNS)/harm-sd3/summary.json results/emoji-harm-sd3.json
	$(BIN)/directrix evaluate emoji-enhance -n 6 --limit 90 --batch-size 8 --method none --method policies/enhance.yaml -o $(RUNS)/enhance
	cp $(RUNS)/enhance/summary.json results/emoji-enhance.json
	$(BIN)/directrix bench evaluation -o results/evaluation.json
	$(BIN)/directrix report tables README.md docs/evaluation.md

clean:
	rm -rf .venv .venv-lowest out build dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache
