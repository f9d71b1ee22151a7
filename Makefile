# make run    install what is needed, run the default study, write its result page and report
# make test   install what is needed, run the tests
# make check  formatting, lint, types, and make test; CI (.ci/run) adds the tests that need more than Python
# Your prompts on a model: make run MODEL=Qwen/Qwen2.5-0.5B-Instruct PROMPTS=my.csv
# What is known of a model, on one page: make card MODEL=package:smollm2-135m, and WITH=mitigations what helps
# Two results side by side: make compare A=results/mine B=results/other, or cards, or packs
# Another study: make run STUDY=studies/qwen2.5.yaml
# What a study can see, before it runs or after a pilot: make plan STUDY=studies/qwen2.5.yaml
# A page on which people take the test of the match rate: make rate STUDY=studies/qwen2.5.yaml
# With results elsewhere: make run DIRECTORY=/path/to/folder
# Results as one file, and back again: make pack STUDY=..., make unpack PACK=results/mine.zip
# On several GPUs, or a cluster: make run PROFILE=profiles/local-gpu, PROFILE=profiles/slurm

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:

PYTHON ?= python3
CORES ?= all
# On Linux, pip's torch brings CUDA along (about 3 GB). For a machine without a GPU, give the address of PyTorch's
# CPU wheel index (on its "Get started" page):
#   make run TORCH_INDEX=<address>
TORCH_INDEX ?=
STUDY ?=
PROFILE ?=
# Where results go, and paths are looked up first.
DIRECTORY ?=
# A folder, an id of the hub or a model of data/catalogue/; a table, a folder of templates or a prompt set of data/catalogue/;
# and what their study is called. What a pack has beside tables, pages and figures (models, store), and which is unpacked. Two results.
# Of the command line alone: many environments have variables of these names.
NEW := MODEL PROMPTS NAME WITH PACK A B
$(foreach name,$(NEW),$(if $(filter command,$(origin $(name))),,$(eval override $(name) :=)))
# Two tests at a time: many wait for Snakemake, or for a cluster.
PYTEST_ARGS ?= -n 2 --dist loadfile --no-loadscope-reorder

# What a person gives is text: spaces, quotes, `;` and `$(...)` in it stand for themselves. So make takes it as it is,
# and the shell finds it in the environment.
GIVEN := STUDY PROFILE DIRECTORY CORES PYTHON TORCH_INDEX $(NEW)
$(foreach name,$(GIVEN),$(eval override $(name) := $$(value $(name))))
export $(GIVEN)

BIN := .venv/bin
# From there, files of the checkout are found by their whole path alone.
WHERE := $(if $(DIRECTORY),"--directory=$$DIRECTORY")
STYLE := $(if $(DIRECTORY),"$$PWD/report/report.css",report/report.css)
# A profile says by itself how many cores or jobs there are.
HOW := $(if $(PROFILE),"--workflow-profile=$$PROFILE","--cores=$$CORES")
WRITE := $(BIN)/python scripts/new_study.py "--model=$$MODEL" "--prompts=$$PROMPTS" "--name=$$NAME" "--directory=$$DIRECTORY"
# Caches of the tests stay inside the checkout.
SANDBOX := HOME=$(CURDIR)/.pytest/home XDG_CACHE_HOME=$(CURDIR)/.pytest/cache XDG_CONFIG_HOME=$(CURDIR)/.pytest/config \
    TMPDIR=$(CURDIR)/.pytest/tmpdir HF_HUB_OFFLINE=1

.PHONY: run plan rate card compare pack unpack given test check format grammar clean

# One shell, which knows the study that is written for MODEL= and PROMPTS=, and prints what it runs. The study is read
# before Snakemake reads it, which has no limits. Where models fail, the others get their tables: a second pass does
# without them, and the command fails in the end.
run: given .venv/installed
	@[ -z "$$MODEL$$PROMPTS" ] || STUDY="$$($(WRITE))"; \
	folder="$$($(BIN)/python scripts/study_folder.py $${STUDY:+"$$STUDY"})"; \
	results="$${DIRECTORY:+$$DIRECTORY/}$$folder"; rm -f "$$results/failures.json" "$$results/without.json"; \
	config=($${STUDY:+"--configfile=$$STUDY"}); trap 'exit 130' INT TERM; \
	set -x; \
	$(BIN)/snakemake --logger leakscope $(HOW) "$${config[@]}" $(WHERE) || { \
	[ -f "$$results/without.json" ]; config=(--configfile $${STUDY:+"$$STUDY"} "$$results/without.json"); \
	$(BIN)/snakemake --logger leakscope $(HOW) "$${config[@]}" $(WHERE); }; \
	$(BIN)/snakemake --cores 1 --quiet all "$${config[@]}" $(WHERE) \
	--report "$$folder/report.html" --report-stylesheet $(STYLE); \
	{ set +x; } 2>/dev/null; \
	echo "Open $$results/index.html in a browser. Snakemake's report is $$results/report.html."; \
	[ ! -f "$$results/without.json" ] || $(BIN)/python scripts/missing_models.py "$$results/failures.json"

# Anew each time: results that are there by now are used.
plan: given .venv/installed
	@[ -z "$$MODEL$$PROMPTS" ] || STUDY="$$($(WRITE))"; \
	folder="$$($(BIN)/python scripts/study_folder.py $${STUDY:+"$$STUDY"})"; \
	$(BIN)/snakemake --quiet all --cores 1 plan --forcerun=plan $${STUDY:+"--configfile=$$STUDY"} $(WHERE); \
	echo "All numbers: $${DIRECTORY:+$$DIRECTORY/}$$folder/plan.csv"

# Texts are written first where they are not there.
rate: given .venv/installed
	@[ -z "$$MODEL$$PROMPTS" ] || STUDY="$$($(WRITE))"; \
	folder="$$($(BIN)/python scripts/study_folder.py $${STUDY:+"$$STUDY"})"; \
	$(BIN)/snakemake --logger leakscope $(HOW) rate $${STUDY:+"--configfile=$$STUDY"} $(WHERE); \
	echo "Open $${DIRECTORY:+$$DIRECTORY/}$$folder/rating/rate.html in a browser, or give it to others."

# The study is written like that of MODEL= and PROMPTS=; STUDY= names a file in which the model stands.
card: given .venv/installed
	@STUDY="$$($(BIN)/python scripts/new_study.py --card "--model=$$MODEL" "--name=$$NAME" "--with=$$WITH" \
	"--study=$$STUDY" "--directory=$$DIRECTORY")"; \
	folder="$$($(BIN)/python scripts/study_folder.py "$$STUDY")"; \
	$(BIN)/snakemake --logger leakscope $(HOW) card "--configfile=$$STUDY" $(WHERE); \
	for page in "$${DIRECTORY:+$$DIRECTORY/}$$folder"/card/*.html; do echo "Open $$page in a browser."; done

compare: .venv/installed
	@$(BIN)/python scripts/compare.py "--a=$$A" "--b=$$B" "--directory=$$DIRECTORY"

pack: given .venv/installed
	@folder="$$($(BIN)/python scripts/study_folder.py $${STUDY:+"$$STUDY"})"; \
	$(BIN)/python scripts/pack.py "$$folder" "--study=$$STUDY" "--directory=$$DIRECTORY" "--with=$$WITH"

unpack: given .venv/installed
	@[ -n "$$PACK" ] || { echo "PACK=: got nothing; allowed: PACK=results/mine.zip, say" >&2; exit 1; }
	@$(BIN)/python scripts/unpack.py "--directory=$$DIRECTORY" -- "$$PACK"

# What is not there is said before anything is installed.
given:
	@[ -z "$$STUDY" ] || [ -f "$$STUDY" ] || { echo "STUDY=$$STUDY: no such file" >&2; exit 1; }
	@[ -z "$$PROFILE" ] || [ -f "$$PROFILE/profile.v9+.yaml" ] || { echo "PROFILE=$$PROFILE: no such profile" >&2; exit 1; }
	@[ -z "$$PACK" ] || [ -f "$$PACK" ] || { echo "PACK=$$PACK: no such file" >&2; exit 1; }
	@[ -n "$(filter card,$(MAKECMDGOALS))" ] || [ -z "$$STUDY" ] || [ -z "$$MODEL$$PROMPTS$$NAME" ] || { echo "STUDY=$$STUDY: got MODEL=, PROMPTS= or NAME=, too; \
	allowed: STUDY= alone, whose file names models and prompts, or the others without it" >&2; exit 1; }
	@[ -z "$$NAME" ] || [ -n "$$MODEL$$PROMPTS" ] || { echo "NAME=$$NAME: got neither MODEL= nor PROMPTS=; \
	allowed: NAME= with one of them or both" >&2; exit 1; }
	@case "$$PROMPTS" in *'$$'[A-Za-z_{]* | '~'*) ;; *.csv | *.tsv | *.xlsx | *.jsonl | *.parquet) [ -f "$$PROMPTS" ] || \
	{ echo "PROMPTS=$$PROMPTS: no such file" >&2; exit 1; };; esac

test: .venv/installed-dev
	mkdir -p .pytest/home .pytest/cache .pytest/config .pytest/tmpdir
	$(SANDBOX) $(BIN)/python -m pytest -rs $(PYTEST_ARGS)

check: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/snakemake --lint
	$(MAKE) test

format: .venv/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile rules

# Write data/grammar/ again from prompt sets, lexicons, items and forms. Organisms of a part that changes are trained anew.
grammar: .venv/installed-dev
	$(BIN)/python scripts/organisms/freeze_grammar.py

.venv/python:
	@"$$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11) and "leakscope needs Python 3.11 or newer; this is %d.%d. Set PYTHON=..." % sys.version_info[:2])'
	"$$PYTHON" -m venv .venv
	@touch $@

# No pip cache: nothing is written outside the checkout.
.venv/installed: .venv/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --no-cache-dir --quiet --upgrade pip
	$(if $(TORCH_INDEX),$(BIN)/python -m pip install --no-cache-dir --index-url "$$TORCH_INDEX" -c constraints.txt torch)
	$(BIN)/python -m pip install --no-cache-dir --quiet --editable . -c constraints.txt
	@touch $@

.venv/installed-dev: .venv/installed
	$(BIN)/python -m pip install --no-cache-dir --quiet --editable '.[dev]' -c constraints.txt
	@touch $@

clean:
	rm -rf results .snakemake .pytest
