# run · plan · test · bench · lint · ui: each sets up what it needs
CONFIG ?= config/config.yaml
PYTHON ?= python3.11
CORES ?= all

RUN = $(shell sed -n 's/^run: *//p' $(CONFIG))
BIN = .venv/bin
SNAKEMAKE = PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/snakemake --configfile $(CONFIG)
REPORT = results/$(RUN)/report.html
# The packages that torch's CUDA build brings are pinned by torch itself; in the lock they would be fetched without a GPU too.
CUDA_PACKAGES = cuda-bindings cuda-pathfinder cuda-toolkit triton nvidia-cublas nvidia-cuda-cupti nvidia-cuda-nvrtc \
	nvidia-cuda-runtime nvidia-cudnn-cu13 nvidia-cufft nvidia-cufile nvidia-curand nvidia-cusolver nvidia-cusparse \
	nvidia-cusparselt-cu13 nvidia-nccl-cu13 nvidia-nvjitlink nvidia-nvshmem-cu13 nvidia-nvtx

# HTCondor's Python bindings, which the executor brings, warn at each start on a machine without HTCondor.
export PYTHONWARNINGS ?= ignore:The environment variable CONDOR_CONFIG

.PHONY: run plan score test test-clusters bench bench-clusters seeds lint format ui docs lock clean

run: .venv/complete
	@$(SNAKEMAKE) --cores $(CORES) --quiet reason $(ARGS)
	@test $(REPORT) -nt results/$(RUN)/summary.txt || $(SNAKEMAKE) --report $(REPORT) --quiet all > results/$(RUN)/logs/report.log 2>&1 || { cat results/$(RUN)/logs/report.log; exit 1; }
	@echo; cat results/$(RUN)/summary.txt; echo
	@echo "Next:  make ui                     compare runs in the MLflow UI"
	@echo "       xdg-open $(REPORT)   the report of this run"

# check the config, its files, trees and branches, and show what would run
plan: .venv/complete
	@$(SNAKEMAKE) --dry-run --quiet rules $(ARGS)

# friend trees for the files of the samples and of `score` in the config
score: .venv/complete
	@$(SNAKEMAKE) --cores $(CORES) score --quiet reason $(ARGS)

test: .venv/complete
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest $(ARGS)

bench: .venv/complete
	PATH="$(CURDIR)/$(BIN):$$PATH" PYTHONPATH=scripts:tests $(BIN)/python -m benchmarks results/benchmarks.json

# the spread of the demo's figures over three seeds: of the sample, the split and the training
seeds: run
	@cat results/$(RUN)/summary.txt; for seed in 2 3; do \
		$(SNAKEMAKE) --cores $(CORES) --quiet all --config run=demo-seed-$$seed seed=$$seed || exit 1; \
		echo; echo "seed $$seed"; sed -n '3,6p' results/demo-seed-$$seed/summary.txt; \
	done

lint: .venv/complete
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/mypy
	PYTHONPATH=scripts $(BIN)/lint-imports
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/snakemake --lint

format: .venv/complete
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile workflow

# the address is of the page of training runs; MLflow's first page is for language models
ui: .venv/complete
	@echo "Open http://127.0.0.1:5000/#/experiments/1/runs?workflowType=machine_learning"
	$(BIN)/mlflow ui --backend-store-uri sqlite:///results/mlflow.db

# the files that are made from the config model (comments of the YAML, schema, config/README.md) and from the rules (profiles)
docs: .venv/complete
	PYTHONPATH=scripts $(BIN)/python -m cyclotrain.config.docs
	PYTHONPATH=scripts $(BIN)/python -m cyclotrain.cluster.profiles

# whole runs, and what goes wrong with jobs, on a real HTCondor pool and a real Slurm that are started here; as root on Debian
test-clusters: .venv/complete
	PATH="$(CURDIR)/$(BIN):$$PATH" CYCLOTRAIN_ALL_CLUSTERS=1 $(BIN)/python -m pytest tests/clusters $(ARGS)

# what a cluster costs: the demo at test size here and on both, in turn
bench-clusters: .venv/complete
	PATH="$(CURDIR)/$(BIN):$$PATH" PYTHONPATH=scripts:tests $(BIN)/python tests/clusters/overhead.py $(REPEATS)

# the lock holds for Linux and macOS, Python 3.11 and later
lock: .venv/complete
	$(BIN)/uv pip compile --universal --upgrade --python-version 3.11 --no-annotate --no-header \
		$(addprefix --no-emit-package ,$(CUDA_PACKAGES)) envs/requirements.in --output-file envs/requirements.txt

.venv/complete: envs/requirements.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --requirement envs/requirements.txt
	@touch $@

clean:
	rm -rf .venv results .snakemake
