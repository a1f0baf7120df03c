# fourplanes: `make` alone lists what it can do. One dial, SCALE; everything generated goes under VAR.

SCALE ?= laptop
SEED  ?= 7
LOGS  ?= simulated
HOST  ?= 127.0.0.1
PORT  ?= 8000
SPEED ?= 1
ENGINE ?= embedded
ONLINE_STORE ?=
PLANT ?= none
ID ?=
EXPLAIN ?= 0
SHARE ?=
PROMOTE ?= 0
VAR   ?= var
REAL_LOGS ?= var/real_logs
export SCALE SEED LOGS HOST PORT SPEED ENGINE ONLINE_STORE VAR REAL_LOGS

# Nothing phones home, waiting threads sleep, hashes repeat, and caches stay under VAR.
export DO_NOT_TRACK = true
export MLFLOW_DISABLE_TELEMETRY = true
export OMP_WAIT_POLICY = PASSIVE
export PYTHONHASHSEED = 0
export NUMBA_CACHE_DIR = $(abspath $(VAR))/numba
export MPLCONFIGDIR = $(abspath $(VAR))/matplotlib

VENV  := .venv
PY    := $(VENV)/bin/python
READY := $(VENV)/.installed
OURS  := feature_repo simulator pipelines serving evaluation monitoring labs tests docs
VERBS := ingest build-features build-training-set train-towers train-ranker release promote materialize audit-leakage

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup train serve evaluate monitor rollback canary drill-faults drill-rollback drill-workers $(VERBS) card scenarios live features three-seeds funnel bench-retrieval bench-serving bench-scorer bench-saturation bench-features \
        bench-world audit-parity replay leakage-ceiling engines extras \
        soak drill-crash drill-hostile pairing long-term global-effect ceilings notebooks \
        figures format lint types imports test check clean

help: ## List the targets, one sentence each.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-20s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "  now: SCALE=$(SCALE) SEED=$(SEED) LOGS=$(LOGS); also HOST PORT SPEED VAR REAL_LOGS TRAIN_UNTIL, e.g. make train SCALE=tiny"

setup: $(READY) ## Make the environment in .venv; every target that needs it does this first.

train: $(READY) ## Simulate or adapt the logs, then train, evaluate, register and promote a release.
	$(if $(filter simulated,$(LOGS)),$(PY) -m simulator logs)
	$(PY) -m pipelines train

serve: $(READY) ## Serve ranked feeds from the champion on http://HOST:PORT until Ctrl-C.
	@$(PY) -m serving

evaluate: $(READY) ## Measure the champion: the log's metrics, then its true value in the simulated world.
	$(PY) -m pipelines evaluate
	$(if $(filter simulated,$(LOGS)),$(PY) -m labs true-value)

monitor: $(READY) ## Check freshness, drift, skew and health, and say what to do about them.
	$(PY) -m monitoring

rollback: $(READY) ## Move the champion alias back to the release before it; a running server follows.
	$(PY) -m pipelines rollback

canary: $(READY) ## Let the challenger serve a SHARE of the people (.05); SHARE=0 stops it, PROMOTE=1 makes it champion; else say how it stands.
	$(PY) -m pipelines canary $(if $(SHARE),--share $(SHARE)) $(if $(filter-out 0,$(PROMOTE)),--promote)

drill-faults: $(READY) ## Take each dependency from a running server and give it back: nobody is refused, and slates say what they lost.
	$(PY) -m labs drill-faults

drill-workers: $(READY) ## Let everybody use two servers of one run in turns: one history, and every feature as training joins it.
	$(PY) -m labs drill-workers

drill-rollback: $(READY) ## Move the champion back and forth under load: how long the wrong release is seen, and whether a request fails.
	$(PY) -m labs drill-rollback

ingest: ## Move the events the server acknowledged (or the real logs) into the event log.
build-features: ## Compute the snapshots of every feature view from the log.
build-training-set: ## Join labels with the features as they were known: the training snapshot.
train-towers: ## Train the two-tower retrieval model and build its index.
train-ranker: ## Train and calibrate one head per objective, beside the baselines.
release: ## Assemble, measure and register one immutable release.
promote: ## Make the newest release champion if every gate holds.
materialize: ## Load the champion's features into the online store.
audit-leakage: ## Look for the future, and for labels, among the features of the training snapshot.
$(VERBS): $(READY)
	$(PY) -m pipelines $@

card: $(READY) ## Print the world's calibration card beside the published figures.
	$(PY) -m simulator card

scenarios: $(READY) ## List what can happen to the world from outside, and what operations should notice.
	$(PY) -m simulator scenarios

live: $(READY) ## Let 200 of the world's people use the running server at HOST:PORT, SPEED times as fast as life.
	$(PY) -m simulator live --users 200 --speed $(SPEED)x --url http://$(HOST):$(PORT)

features: $(READY) ## Print the catalogue and write docs/features.md: each feature's window, default, range, owner and why.
	$(PY) docs/write_features.py

three-seeds: $(READY) ## Train in three worlds from scratch, and compare the champion's true value in each.
	$(PY) -m labs three-seeds --var $(VAR)/seeds

funnel: $(READY) ## Show how much true value each stage of the feed loses: retrieval, cut, heads, diversity, chance.
	$(PY) -m labs funnel

bench-retrieval: $(READY) ## Time exact search beside a shortlist from 10,000 to a million videos (needs make extras).
	$(PY) -m labs bench-retrieval

bench-serving: $(READY) ## Time POST /v1/feed against the naive server, same release and slates.
	$(PY) -m labs bench-serving

bench-scorer: $(READY) ## Time the bit-vector scorer against LightGBM: the same heads and rows, in turns, to the last bit.
	$(PY) -m labs bench-scorer

bench-saturation: $(READY) ## Offer the server more than it can take: the curve, its knee, and what twice the knee does.
	$(PY) -m labs bench-saturation

soak: $(READY) ## Serve half an hour of mixed traffic: errors, memory and the tail of the latency over time.
	$(PY) -m labs soak

drill-crash: $(READY) ## Kill the server fifty times under load: nothing acknowledged may be lost or stored twice.
	$(PY) -m labs drill-crash

drill-hostile: $(READY) ## Ask 20,000 requests nobody thought of: every answer must be one the API page promises.
	$(PY) -m labs drill-hostile

bench-features: $(READY) ## Time the feature plane: as-of join, windows, online reads, freshness, each beside its rivals.
	$(PY) -m labs bench-features

audit-parity: $(READY) ## Live a day on the champion and compare every served feature with the offline join; PLANT=unit spoils it.
	$(PY) -m labs audit-parity --plant $(PLANT)

replay: $(READY) ## Answer request ID again from the log and the release, byte for byte; EXPLAIN=1 tells its whole journey.
	@$(PY) -m labs replay $(ID) $(if $(filter-out 0,$(EXPLAIN)),--explain)

leakage-ceiling: $(READY) ## Hold the champion's AUC against the Bayes ceiling: whoever is above it has seen the future.
	$(PY) -m labs leakage-ceiling

engines: $(READY) ## Compute the feature views on Spark too, and compare every cell (needs make extras and Java).
	$(PY) -m labs engines

extras: $(READY) ## Add what the embedded defaults do without: pyspark, the Redis client, faiss, OpenTelemetry's exporter.
	@VIRTUAL_ENV=$(abspath $(VENV)) $(VENV)/bin/uv pip install -q -c requirements.lock -e '.[spark,redis,ann,otel]' || $(PY) -m pip install -q -c requirements.lock -e '.[spark,redis,ann,otel]'

bench-world: $(READY) ## Time the world on one core, from people to parquet, and weigh its memory.
	$(PY) -m labs bench-world

pairing: $(READY) ## Measure what the same luck buys when two policies are compared over seven days.
	$(PY) -m labs pairing

long-term: $(READY) ## Count the active days of the next 28 under four policies, by roll-outs with the same luck.
	$(PY) -m labs long-term

global-effect: $(READY) ## What a change does when everybody gets it, beside what an experiment by user would say.
	$(PY) -m labs global-effect

ceilings: $(READY) ## How good a prediction of each label can be at all: the Bayes ceilings of the log.
	$(PY) -m labs ceilings

notebooks: $(READY) ## Execute notebooks/ against the trained state and save them with their plots.
	$(PY) notebooks/execute.py

figures: $(READY) ## Copy the figures of VAR's reports, and a session with the champion, into the documents.
	$(PY) docs/write_session.py
	$(PY) -m docs.write_figures

format: $(READY) ## Format the code.
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix .

lint: $(READY) ## Check format and lint.
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .

types: $(READY) ## Check the types, strictly.
	$(PY) -m mypy $(OURS)

imports: $(READY) ## Check who may import whom.
	$(VENV)/bin/lint-imports --no-logo

test: $(READY) ## Run every test; the ones that train do so at SCALE=tiny in a folder of their own.
	$(PY) -m pytest

check: lint types imports test ## Run all that CI runs: format, lint, types, imports, and every test, shape and documents included.
	@echo "All good: formatted, typed, imports in order, every test true. Ship it."

clean: ## Remove what was generated and the caches; keep .venv and VAR/real_logs.
	rm -rf $(VAR)/simulated-* $(VAR)/kuairand-* $(VAR)/seeds $(VAR)/numba $(VAR)/matplotlib
	rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +

# The environment. PYTHON=… chooses the interpreter; otherwise the first of these that is new enough.
PYTHON ?= $(firstword $(foreach name,python3 python3.13 python3.12 python3.11,$(if $(shell $(name) -c \
	'import sys; print(sys.version_info >= (3, 11) or "")' 2>/dev/null),$(name))) python3)

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python is " + sys.version.split()[0] + ", must be 3.11 or newer. Install one, or name it: make setup PYTHON=/path/to/python3.12")'
	@$(PYTHON) -c 'import ensurepip' || { echo "This Python cannot make environments. On Debian: apt install python3-venv"; exit 1; }
	@echo "Making the environment in $(VENV) (about a minute, once) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(PY) -m pip install -q --disable-pip-version-check uv
	@VIRTUAL_ENV=$(abspath $(VENV)) $(VENV)/bin/uv pip install -q -r requirements.lock || $(PY) -m pip install -q -r requirements.lock
	@$(PY) -m pip install -q --disable-pip-version-check --no-deps -e .
	@touch $@
