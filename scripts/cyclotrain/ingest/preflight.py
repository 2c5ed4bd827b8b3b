"""Checks before any job starts: trees, branches and their types, in the first file of each sample."""

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from cyclotrain.config import Config
from cyclotrain.config.systematics import variations
from cyclotrain.contract import Layout
from cyclotrain.contract.parent import require_same_features, weights_file
from cyclotrain.contract.splits import identifying_branches
from cyclotrain.core.errors import FileError, InputError, MissingBranchError
from cyclotrain.core.files import read_json
from cyclotrain.demo.branches import DEPTHS, JETS_TREE
from cyclotrain.expressions import Expression
from cyclotrain.ingest.columns import column, evaluate
from cyclotrain.ingest.joined import friends_of_file, open_joined
from cyclotrain.ingest.ntuples import depths, open_tree
from cyclotrain.ingest.recipe import Recipe, check_branches, check_sum_of_weights, require_branches, require_event_id
from cyclotrain.ingest.sources import Sources


def check_inputs(config: Config, sources: Sources) -> Layout:
    """The layout of the nominal samples, after each sample was checked against its first file, or against the branches that the
    demo will write; raises InputError.
    """
    _check_padding(config)
    _check_parent(config)
    layouts = {}
    for name, sample in config.samples.items():
        recipe = Recipe.from_config(config, name)
        if sample.simulate:
            if sample.tree != JETS_TREE:
                raise InputError(f"samples.{name}.tree: '{sample.tree}' is not a tree of simulated samples; give '{JETS_TREE}'")
            require_event_id(recipe.event_id, DEPTHS, f"samples.{name}: a simulated sample")
            require_branches(recipe.branches(), DEPTHS, f"samples.{name}: a simulated sample")
            layouts[name] = check_branches(recipe, DEPTHS, f"samples.{name}")
        else:
            paths, of_paths = sources.samples[name], sources.friends[name]
            try:
                layouts[name] = _check_first(recipe, paths, friends=of_paths, skip_broken=config.skip_broken > 0)
            except MissingBranchError as error:
                if not sample.data:
                    raise
                raise MissingBranchError(
                    f"{error}. With 'data: true', a sample needs the branches of the inputs, of its selection and of "
                    f"'observers'; name those that data do not have in samples.{name}.absent, and their observers are left out"
                ) from None
    layout = layouts[config.nominal_samples[0]]
    _check_compared(config, layout)
    _check_varied_branches(config, layout)
    model_branches = Recipe.from_config(config, next(iter(config.samples))).model_branches()
    model_branches += identifying_branches(config.event_id) if config.folds else ()  # it decides which model scores an event
    for name, scored in config.score.items():
        descriptions = [friend.model_dump(exclude={"files"}) for friend in scored.friends.values()]
        for path in sources.scored[name]:
            friends = friends_of_file(sources.friends[name].get(path, ()), descriptions)
            with open_joined(path, scored.tree, friends) as ntuple:
                ntuple.depths(model_branches)
    return layout


def _check_parent(config: Config) -> None:
    """Raise InputError if the weights that the training begins with are missing, or if their run has other features."""
    training = config.training
    if not training.initial_weights:
        return
    weights = weights_file(training.initial_weights, Path("results", config.run))
    # of a lone weights.pt and of a registered model, only the rule `parent` knows the contract
    is_run = weights is not None and weights.parent.name == "train"
    contract = weights.parent.parent / "model/contract.json" if weights and is_run else None
    if contract and contract.exists() and not training.other_inputs:
        own = Recipe.from_config(config, next(iter(config.samples))).inputs
        require_same_features(own, read_json(contract)["layout"]["sets"])


def _check_compared(config: Config, layout: Layout) -> None:
    """Raise InputError for a model to compare with that is missing, or that cannot run on the examples of this run."""
    if not config.compare:
        return
    # imported here, because it needs the package onnx
    from cyclotrain.contract.compared import contract_of_model, model_file, require_comparable, require_same_constituents

    for name, where in config.compare.items():
        path = model_file(name, where, run=Path("results", config.run))
        if path:  # of a registered model, only the rule `predict_compared` knows the contract
            key = f"compare.{name}"
            other = contract_of_model(key, path)
            require_comparable(key, other, classes=config.classes, branches=layout.inputs, object_name=config.object)
            require_same_constituents(key, other.layout, layout)


def _check_padding(config: Config) -> None:
    """Raise InputError for a `valid` that takes zero padding for a constituent."""
    for name, inputs in config.inputs.items():
        if inputs.valid:
            valid = Expression(inputs.valid)
            zeros = dict.fromkeys(valid.inputs, np.zeros(1, np.float32))
            if column(evaluate(valid, zeros, key="valid", where=f"inputs.{name}"), 1).any():
                raise InputError(
                    f"inputs.{name}.valid: '{valid.text}' holds for zero padding too; it must be false where all branches are 0, "
                    "as `pf_pt > 0` is"
                )


def _check_first(recipe: Recipe, paths: Sequence[str], *, friends: Mapping[str, Sequence[str]], skip_broken: bool) -> Layout:
    """Check the first file, or with `skip_broken` the first that can be read; gives its layout."""
    for path in paths:
        try:
            with open_joined(path, recipe.tree, friends_of_file(friends.get(path, ()), recipe.friends)) as ntuple:
                ntuple.require_event_id(recipe.event_id)
                file_layout = check_branches(recipe, ntuple.depths(recipe.branches()), path)
            if recipe.sum_of_weights:
                expression = Expression(recipe.sum_of_weights["sum"])
                with open_tree(path, recipe.sum_of_weights["tree"] or recipe.tree) as tree:
                    check_sum_of_weights(expression, depths(tree, path, expression.branches), path)
            return file_layout
        except FileError:
            if not skip_broken or path == paths[-1]:
                raise
    raise AssertionError(f"samples.{recipe.sample} has no files")


def _check_varied_branches(config: Config, layout: Layout) -> None:
    """Raise InputError for a variation of what is no input of the model, or by what has another shape."""
    for name, direction, variation in variations(config):
        for branch, text in variation.branches.items():
            where = f"systematics.{name}.{direction}.branches"
            names = Expression(text).inputs
            for used in (branch, *names):
                if used not in layout.inputs:
                    near = difflib.get_close_matches(used, layout.inputs, n=1)
                    hint = f"did you mean '{near[0]}'?" if near else f"there are: {', '.join(layout.inputs)}"
                    raise InputError(f"{where}: '{used}' is no input of the model, which sees nothing else; {hint}")
            own_set = layout.inputs[branch]
            if jagged := [used for used in names if layout.inputs[used] not in (None, own_set)]:
                raise InputError(f"{where}.{branch}: '{text}' has a list per example, because '{jagged[0]}' is jagged")
