"""The checked configuration, and the functions that rules ask for their files."""

import os
import shlex
import sys
from importlib import metadata
from pathlib import Path

import yaml
from snakemake.exceptions import WorkflowError
from snakemake.logging import logger
from snakemake.settings.enums import Quietness

sys.path.insert(0, str(Path(workflow.basedir) / "scripts"))

from cyclotrain.cluster.resources import resources_of
from cyclotrain.config import VARIANT_KINDS, load
from cyclotrain.config.gates import bounds_of
from cyclotrain.contract.compared import model_file
from cyclotrain.contract.parent import weights_file
from cyclotrain.contract.run import RESULT_FILES
from cyclotrain.core.yaml_files import require_distinct_keys
from cyclotrain.data.recipe import DatasetRecipe
from cyclotrain.ingest.recipe import RECEIPT_FORMAT, Recipe
from cyclotrain.ingest.sources import Sources, is_remote
from cyclotrain.networks.source import network_source
from cyclotrain.report import catalogue, ending, terminal
from cyclotrain.runtimes.targets import libtorch_versions, runtime_of

# results hold letters of all kinds, whatever the locale of a job
os.environ.setdefault("PYTHONUTF8", "1")
# OpenMP threads that wait do so without spinning: where jobs share cores, a training is five times faster
os.environ.setdefault("GOMP_SPINCOUNT", "0")

if shlex.quote(sys.executable) != sys.executable:
    raise WorkflowError(
        f"Snakemake cannot start jobs with the Python '{sys.executable}', whose path has a space or another special character; "
        "move this folder, or its .venv, to a path of letters, digits, '-', '_', '.' and '/'"
    )

# The main process of a run shows a line for each job; dry runs and `--quiet all` stay as Snakemake has them.
SCREEN = None
if (
    workflow.is_main_process
    and not workflow.output_settings.dryrun
    and Quietness.ALL not in (workflow.output_settings.quiet or ())
):
    SCREEN = terminal.take_over(logger, Path(".snakemake/cyclotrain/seconds.json"))


def options_to_repeat():
    """How the user gave workflow and config, to say what to type next."""
    files = [os.path.relpath(path) for path in workflow.overwrite_configfiles or ()]
    pairs = [
        f"{key}={yaml.safe_dump(value, default_flow_style=True).splitlines()[0]}"
        for key, value in (workflow.config_settings.config or {}).items()
    ]
    snakefile = os.path.relpath(workflow.main_snakefile)
    given = {
        "--snakefile": [snakefile] if snakefile != "Snakefile" else [],
        "--configfile": files,
        "--config": pairs,
    }
    return "".join(
        f" {option} {' '.join(map(shlex.quote, values))}"
        for option, values in given.items()
        if values
    )


def say_at_the_end(words):
    """Print the last words of the run below all else."""
    if SCREEN:
        SCREEN.stop()
    print(words)


# Whether workers see the files of this machine, as they do unless a profile says otherwise.
IS_SHARED = not workflow.storage_settings or bool(
    workflow.storage_settings.shared_fs_usage
)


def load_settings():
    """The configuration and every sample's files; wrong keys, files, trees and branches are named before any job."""
    folder = Path(".snakemake/cyclotrain")
    try:
        if workflow.is_main_process:
            for path in workflow.configfiles:
                require_distinct_keys(path)
        settings = load(config)
        if not workflow.is_main_process:
            return settings, Sources.load(settings, folder)
        from cyclotrain.deploy.consumers import check_consumers
        from cyclotrain.ingest.preflight import check_inputs

        settings.model.check_inputs(settings.inputs)
        network_source(settings.model.name)
        sources = Sources.from_config(settings)
        if not IS_SHARED:
            sources.check_transferable()
        check_consumers(settings.export.takers, check_inputs(settings, sources))
        sources.save(settings, folder)
    except ValueError as error:
        raise WorkflowError(str(error)) from None
    return settings, sources


settings, sources = load_settings()
# in paths of files `<run>`, its path variable, stands for it; params have none
RUN = f"results/{settings.run}"
# and `<fold>` for where a model and what is made of it lie: in the run, or for a cross-training in the folder of each fold
FOLD = f"{RUN}/fold-{{fold}}" if settings.folds else RUN
FOLD_LABEL = {"fold": "{fold}"} if settings.folds else {}
FOLDS = [f"{RUN}/fold-{fold}" for fold in range(settings.folds or 0)] or [RUN]


# what this run measures besides, by name
STUDIES = {name: f"{FOLD}/{RESULT_FILES[name]}" for name in settings.studies}


def parent_weights():
    """The file with the weights that the training begins with, if it is one."""
    initial_weights = settings.training.initial_weights
    path = weights_file(initial_weights, Path(RUN)) if initial_weights else None
    return [str(path)] if path else []


def parent_file(name):
    """An input of a rule: `weights` or `contract` of the training whose weights this one begins with, if any."""
    if not settings.training.initial_weights:
        return {}
    suffix = {"weights": "pt", "contract": "json"}[name]
    return {"parent": f"<run>/parent/{name}.{suffix}"}


def ntuples(sample):
    """All ROOT files of a sample."""
    simulated = settings.samples[sample].simulate
    if simulated:
        parts = [f"{part:03d}" for part in range(simulated.files)]
        return expand("<run>/ntuples/{sample}/{part}.root", sample=sample, part=parts)
    return sources.samples[sample]


def jobs_of(sample):
    """The ROOT files of each `skim` job of a sample, by the job's name."""
    if settings.samples[sample].simulate:
        return {Path(path).stem: [path] for path in ntuples(sample)}
    return sources.jobs[sample]


skim_jobs_of = {sample: jobs_of(sample) for sample in settings.samples}


def job_files(wildcards):
    """The ROOT files of one `skim` job, local and remote."""
    return skim_jobs_of[wildcards.sample][wildcards.job]


def friends_of(name, path):
    """The friend trees' files of an ntuple, in the order of the configuration."""
    return sources.friends[name].get(path, [])


def job_friends(wildcards):
    """The friend trees' files of one `skim` job."""
    paths = job_files(wildcards)
    return [friend for path in paths for friend in friends_of(wildcards.sample, path)]


def local(paths):
    """Those that Snakemake can look at; URLs are not its inputs."""
    return [path for path in paths if not is_remote(path)]


def remote(paths):
    """Those that a job reads over the network."""
    return [path for path in paths if is_remote(path)]


def skims(extension, samples=settings.nominal_samples):
    """Shards or receipts of samples, in their order: those that the model is made and tested with, unless others are given."""
    return [
        f"<run>/skims/{sample}/{job}.{extension}"
        for sample in samples
        for job in skim_jobs_of[sample]
    ]


def simulate_params(wildcards):
    """Process, seed and number of jets of one simulated file."""
    simulated = settings.samples[wildcards.sample].simulate
    return {
        "process": simulated.process,
        "n_jets": -(-simulated.jets // simulated.files),
        "run": list(settings.samples).index(wildcards.sample) + 1,
        "seed": settings.seed,
    }


def train_source(wildcards):
    """The source of the network, so that a change of it trains again."""
    return network_source(settings.model.name)


def skim_recipe(wildcards):
    """What a skim does, so that only a change of that runs it again."""
    return Recipe.from_config(settings, wildcards.sample).to_dict()


def dataset_recipe(wildcards):
    """What a dataset, and a fold of it, is made by."""
    fold = int(wildcards.fold) if settings.folds else None
    return DatasetRecipe.from_config(settings, fold=fold).to_dict()


def fold_path(name):
    """A params function: the path of a file of the run or the fold, which need not exist."""

    def path(wildcards):
        return f"{FOLD}/{name}".format(**wildcards)

    return path


def all_folds(name):
    """A file of every fold, by its name or by what a rule calls it."""
    return [f"{fold}/{name.removeprefix(f'{FOLD}/')}" for fold in FOLDS]


def plot_results(wildcards):
    """The results that a figure shows, by their names."""
    entry = catalogue.plot(settings, wildcards.figure)
    return {
        name: f"{FOLD}/{RESULT_FILES[name]}".format(**wildcards)
        for name in entry.results
    }


def plot_code(wildcards):
    """The source of a figure, so that a change of it draws the figure again."""
    function = catalogue.plot(settings, wildcards.figure).function
    folder = Path(workflow.basedir) / "scripts/cyclotrain/report/plots"
    return [
        str(folder / f"{name}.py") for name in ("style", function.partition(".")[0])
    ]


def plot_section(wildcards):
    """Where Snakemake's report shows a figure."""
    return catalogue.plot(settings, wildcards.figure).section


def plot_function(wildcards):
    """What draws a figure."""
    return catalogue.plot(settings, wildcards.figure).function


def plot_options(wildcards):
    """What the figure is of, such as a quantity."""
    return dict(catalogue.plot(settings, wildcards.figure).options)


def plot_label(wildcards):
    """What stands above a physics figure, if the config says of which experiment."""
    entry = catalogue.plot(settings, wildcards.figure)
    if not settings.report.experiment or entry.section in catalogue.WITHOUT_LABEL:
        return None
    return {**settings.report.model_dump(), "is_data": "data" in entry.results}


def plot_caption(wildcards):
    """What people are told of a figure."""
    return catalogue.plot(settings, wildcards.figure).caption


def tracked_files():
    """The files for people that go into MLflow."""
    plots = [plot.removeprefix("<fold>/") for plot in PLOTS]
    names = ["model_card.md", "model_card.html", "report.html", *plots]
    files = [path for name in names for path in all_folds(name)]
    return list(dict.fromkeys([*files, f"{RUN}/summary.txt", f"{RUN}/report.html"]))


def friend_files(name):
    """The ntuples of a sample, or of a name of `score`, each by the file name of its friend tree."""
    if name in settings.samples and settings.samples[name].simulate:
        return {Path(path).name: path for path in ntuples(name)}
    return sources.friend_trees[name]


def friend_trees(wildcards):
    """All friend trees."""
    return [
        f"{RUN}/friends/{name}/{file}"
        for name in [*settings.samples, *settings.score]
        for file in friend_files(name)
    ]


def friend_ntuple(wildcards):
    """The ntuple that a friend tree is of."""
    return [friend_files(wildcards.name)[wildcards.file]]


def friend_params(wildcards):
    """Tree, selection, definitions and own friends of the ntuple of a friend tree."""
    if wildcards.name in settings.samples:
        recipe = Recipe.from_config(settings, wildcards.name)
        tree, selection, define = recipe.tree, recipe.selection, recipe.define
    else:
        of_name = settings.score[wildcards.name]
        tree, define = of_name.tree, settings.define
        selection = [cut for cut in [of_name.selection or settings.selection] if cut]
    of_name = settings.samples.get(wildcards.name) or settings.score[wildcards.name]
    (path,) = friend_ntuple(wildcards)
    files = friends_of(wildcards.name, path)
    return {
        "tree": tree,
        "selection": selection,
        "define": define,
        "friends": [
            {"path": of_path, "tree": of.tree, "by": of.by}
            for of_path, of in zip(files, of_name.friends.values(), strict=True)
        ],
    }


def runtime_environments():
    """The ONNX Runtime releases of the targets, each in an environment of its own."""
    versions = sorted(
        {runtime_of(target).version for target in settings.export.targets}
    )
    return expand("<run>/runtimes/{version}.json", version=versions)


def own_libtorch():
    """The LibTorch of this environment, for a C++ program, if the model has a form for LibTorch."""
    version = metadata.version("torch").partition("+")[0]
    return expand(
        "<run>/runtimes/libtorch-{version}.json",
        version=[version] * bool(torch_forms()),
    )


def libtorch_environments():
    """The LibTorch releases of the targets, each with a program that runs models in it, if the model has a form for LibTorch."""
    versions = libtorch_versions(settings.export.targets) if torch_forms() else []
    return expand("<run>/runtimes/libtorch-{version}.json", version=versions)


def gpus():
    """The number of GPUs that the training asks for: `devices` if it must have them; with `auto` it takes what it is given."""
    return settings.training.devices * (settings.training.accelerator == "gpu")


def other_scorers():
    """What gives scores on the test split besides the model."""
    return ["boosted_trees", *settings.export.variants, *settings.compare]


def other_answers():
    """The answers of each of them."""
    return [f"<fold>/predictions/test/{scorer}.arrow" for scorer in other_scorers()]


def compared():
    """What the models of `compare` are, by their names."""
    return [f"<fold>/compared/{name}.json" for name in settings.compare]


def compared_file(wildcards):
    """The ONNX file of a model of `compare`, if it is one."""
    path = model_file(wildcards.name, settings.compare[wildcards.name], run=Path(RUN))
    return [str(path)] if path else []


def compared_place(wildcards):
    """Where the config says that a model of `compare` is."""
    return settings.compare[wildcards.name]


def working_points():
    """The files with thresholds of the score; none without classes."""
    names = ["thresholds.json", "correctionlib.json"] if settings.classes else []
    return [f"<fold>/working_points/{name}" for name in names]


def variant_tolerances():
    """What `verify` allows each variant, in the order of `variants`."""
    return {
        kind: variant.model_dump(exclude={"rejection_loss"})
        for kind, variant in settings.export.variants.items()
    }


def get_final_output():
    """Everything that a run makes."""
    names = [
        "model/model.onnx",
        "model_card.html",
        "report.html",
        "deploy",
        "summary.txt",
    ]
    names += ["working_points/correctionlib.json"] * bool(settings.classes)
    files = [path for name in names for path in all_folds(name)]
    return [*dict.fromkeys([*files, f"{RUN}/summary.txt", f"{RUN}/report.html"])]
