# run · plan · score · seeds · networks · promote · ui · test · test-unit · lint · bench: each sets up what it needs. The workflow itself needs no make:
#   source .venv/bin/activate; snakemake --cores 8 [--configfile my.yaml]
CONFIG ?= config/config.yaml
CORES ?= all
PYTHON ?=

BIN = .venv/bin
SNAKEMAKE = snakemake --configfile "$(CONFIG)"
export PATH := $(CURDIR)/$(BIN):$(PATH)
# The packages that torch's CUDA build brings are pinned by torch itself; in the lock they would be fetched without a GPU too.
CUDA_PACKAGES = cuda-bindings cuda-pathfinder cuda-toolkit triton nvidia-cublas nvidia-cuda-cupti nvidia-cuda-nvrtc \
	nvidia-cuda-runtime nvidia-cudnn-cu13 nvidia-cufft nvidia-cufile nvidia-curand nvidia-cusolver nvidia-cusparse \
	nvidia-cusparselt-cu13 nvidia-nccl-cu13 nvidia-nvjitlink nvidia-nvshmem-cu13 nvidia-nvtx
# HTCondor's bindings, which Snakemake imports at each start, warn where there is no HTCondor. Python reads this .pth file first.
QUIET_HTCONDOR = import warnings; warnings.filterwarnings("ignore", "The environment variable CONDOR_CONFIG")

.PHONY: run plan score seeds networks readme images promote ui test test-unit test-clusters mutations lint format bench bench-clusters docs site lock clean

run: .venv/complete
	@$(SNAKEMAKE) --cores $(CORES) $(ARGS)

# check the config, its files, trees and branches, and show what would run
plan: .venv/complete
	@$(SNAKEMAKE) --dry-run --quiet rules $(ARGS)

# friend trees for the files of the samples and of `score` in the config
score: .venv/complete
	@$(SNAKEMAKE) --cores $(CORES) score $(ARGS)

# the spread of the figures over three seeds: of the sample, the split and the training
seeds: .venv/complete
	@PYTHONPATH=scripts python -m cyclotrain.report.seeds --configfile "$(CONFIG)" --cores $(CORES) 1 2 3

# every built-in network on the jets of the demo, side by side; the table in docs/networks.md
networks: run
	@PYTHONPATH=scripts python -m cyclotrain.report.networks --cores $(CORES)

# the figures and the pictures in README.md, from the runs of `make seeds`
readme: override CONFIG = config/config.yaml
readme: seeds images
	@PYTHONPATH=scripts python -m cyclotrain.report.readme results/demo results/demo-seed-2 results/demo-seed-3

# the pictures of the documentation, from the demo's run and from the rules; needs Graphviz
images: override CONFIG = config/config.yaml
images: run
	@PYTHONPATH=scripts python -m cyclotrain.report.images results/demo

# the model of a finished run becomes the champion of MLflow's registry, if it beats the present one (docs/tracking.md)
promote: .venv/complete
	@PYTHONPATH=scripts python -m cyclotrain promote "$(CONFIG)"

# the address is of the page of training runs; MLflow's first page is for language models
ui: .venv/complete
	@echo "Open http://127.0.0.1:5000/#/experiments/1/runs?workflowType=machine_learning"
	mlflow ui --backend-store-uri sqlite:///results/mlflow.db

test: .venv/complete
	python -m pytest -n 2 $(ARGS)

# without whole runs and servers
test-unit: .venv/complete
	python -m pytest -n 2 tests/unit $(ARGS)

# whole runs, and what goes wrong with jobs, on a real HTCondor pool and a real Slurm that are started here; as root on Debian
test-clusters: .venv/complete
	CYCLOTRAIN_ALL_CLUSTERS=1 python -m pytest -n 2 tests/clusters $(ARGS)

# plant faults in the code, one at a time, and see that a test catches each
mutations: .venv/complete
	python tests/mutations.py

lint: .venv/complete site
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile workflow
	mypy
	PYTHONPATH=scripts lint-imports
	snakemake --lint

format: .venv/complete
	ruff check --fix .
	ruff format .
	snakefmt Snakefile workflow

bench: .venv/complete
	PYTHONPATH=scripts:tests python -m benchmarks results/benchmarks.json

# what a cluster costs: the demo at test size here and on both, in turn
bench-clusters: .venv/complete
	PYTHONPATH=scripts:tests python tests/clusters/overhead.py $(REPEATS)

# the files that are made from the config model (comments of the YAML, schema, config/README.md) and from the table of resources
docs: .venv/complete
	PYTHONPATH=scripts python -m cyclotrain.config.docs
	PYTHONPATH=scripts python -m cyclotrain.cluster.profiles

# README.md and docs/ as a site, build/site/index.html; a dead link or a page outside the navigation is an error.
# Not with --quiet: mkdocs then sees no warning, and `strict` has none to fail on
site: .venv/complete
	@rm -rf build/pages && mkdir -p build/pages/config
	@cp CHANGELOG.md build/pages && cp -R docs build/pages/docs
	@printf -- '---\nhide: [navigation]\n---\n\n' | cat - README.md > build/pages/README.md
	@cp -R config/README.md config/config.yaml config/examples build/pages/config
	NO_MKDOCS_2_WARNING=1 mkdocs build

# the lock holds for Linux and macOS, Python 3.11 to 3.13
lock: .venv/complete
	uv pip compile --universal --upgrade --python-version 3.11 --no-annotate --no-header \
		$(addprefix --no-emit-package ,$(CUDA_PACKAGES)) envs/requirements.in --output-file envs/requirements.txt

.venv/complete: envs/requirements.txt
	@python="$(PYTHON)"; [ -n "$$python" ] || python=$$(sh envs/find_python.sh) && echo "$$python -m venv .venv" && "$$python" -m venv .venv
	$(BIN)/pip install --quiet --requirement envs/requirements.txt
	@echo '$(QUIET_HTCONDOR)' > "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/cyclotrain.pth"
	@touch $@

clean:
	rm -rf .venv results .snakemake
