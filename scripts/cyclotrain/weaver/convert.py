"""A weaver data config as a Cyclotrain config, with a list of what has no counterpart and of what differs.

Run: python -m cyclotrain.weaver data.yaml --data "HToBB:/data/HToBB_*.root" > my.yaml (docs/from-weaver.md)
"""

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from cyclotrain.config import ConfigError, load
from cyclotrain.config.docs import commented
from cyclotrain.contract.splits import ENTRY
from cyclotrain.core.errors import InputError
from cyclotrain.core.yaml_files import read_yaml
from cyclotrain.expressions import Expression, ExpressionError
from cyclotrain.weaver.expressions import Expressions, WeaverError
from cyclotrain.weaver.inputs import Inputs

_KEYS = {
    "treename", "branch_magic", "file_magic", "selection", "test_time_selection", "preprocess", "new_variables", "inputs",
    "labels", "observers", "monitor_variables", "weights", "bucketing",
}  # fmt: skip
_BACKGROUND = re.compile(r"qcd|background|bkg", re.IGNORECASE)
_EVENT = re.compile(r"(run|lumi\w*|event\w*|evt\w*)(_?no|_?id)?", re.IGNORECASE)
_SCHEMA = "# yaml-language-server: $schema=workflow/schemas/config.schema.json"


@dataclass
class Files:
    """The files on weaver's command line, as `name:glob` (--data-train, --data-val, --data-test), and the name of the tree."""

    train: Sequence[str] = ()
    validation: Sequence[str] = ()
    test: Sequence[str] = ()
    tree: str | None = None


@dataclass
class Converted:
    """`config`: as `cyclotrain.config.load` takes it. `notes`: what is lost and what differs. `groups`, `vectors`: see
    `Inputs`.
    """

    config: dict[str, Any]
    notes: list[str] = field(default_factory=list)
    groups: dict[str, tuple[str, list[int | None]]] = field(default_factory=dict)
    vectors: dict[str, str] = field(default_factory=dict)

    def to_yaml(self) -> str:
        """The config as YAML, with the notes on top."""
        lines = [_SCHEMA, "# Made from a weaver data config. What is lost, or differs from weaver:"]
        lines += [f"# - {line}" if i == 0 else f"#   {line}" for note in self.notes for i, line in enumerate(note.splitlines())]
        return "\n".join([*lines, "", *commented(self.config).splitlines()[2:]]).replace("\n\n\n", "\n\n") + "\n"


def convert(weaver: Mapping[str, Any], *, run: str, files: Files, classes: Sequence[str] = ()) -> Converted:
    """Convert the parsed YAML of a weaver data config; `classes`: names for the values of a custom label.

    Raises WeaverError if inputs, label, selection or weights have no counterpart: no config can be made without them.
    """
    return _Conversion(weaver, Converted({"run": re.sub(r"[^A-Za-z0-9_-]", "_", run)})).result(files, classes)


class _Conversion:
    def __init__(self, weaver: Mapping[str, Any], converted: Converted) -> None:
        self._weaver, self._config, self._converted = weaver, converted.config, converted
        variables = {name: str(text) for name, text in (weaver.get("new_variables") or {}).items()}
        self._expressions = Expressions(variables, weaver.get("branch_magic") or {})
        self._defined: list[str] = []

    def result(self, files: Files, classes: Sequence[str]) -> Converted:
        self._note_unknown("", self._weaver, _KEYS)
        for key in ("file_magic", "bucketing"):
            if self._weaver.get(key):
                self._note(f"{key}: no counterpart, left out")
        self._samples(files)
        self._event_id()
        self._config["define"] = {}  # filled at the end, but the YAML shows it here
        self._labels(list(classes))
        self._weights()
        preprocess = self._weaver.get("preprocess") or {}
        self._note_unknown("preprocess", preprocess, {"method", "data_fraction", "params"})
        inputs = Inputs(self._expressions, preprocess)
        inputs.convert(self._weaver.get("inputs") or {})
        self._config["inputs"], self._converted.groups = inputs.sets, inputs.groups
        self._converted.vectors = inputs.vectors
        self._converted.notes += inputs.notes
        jagged = [features for features in inputs.sets.values() if "max_length" in features]
        have_vectors = all("four_vector" in features for features in jagged)
        network = "mlp" if not jagged else "particle_transformer" if have_vectors else "deep_sets"
        self._config["model"] = {"name": network}
        self._note(f"model: a weaver data config does not name the network; {network} is written here")
        for name in self._defined:
            self._config["define"][name] = self._text(f"new_variables.{name}", self._expressions.variables[name])
        if not self._defined:
            del self._config["define"]
        if numbers := list(self._expressions.as_conditions):
            self._note(f"numbers used as conditions are true where they are not 0: {', '.join(numbers)}")
        return self._converted

    def _note(self, text: str) -> None:
        self._converted.notes.append(text)

    def _note_unknown(self, section: str, values: Mapping[str, Any], known: set[str]) -> None:
        for key in values:
            if key not in known:
                self._note(f"{section + '.' if section else ''}{key}: not a key of weaver that this converter knows; left out")

    def _text(self, key: str, text: str, *, as_condition: bool = False) -> str:
        """An expression for ingest; the new variables that it needs go into `define`."""
        try:
            self._defined += [name for name in self._expressions.used(text) if name not in self._defined]
            translated = self._expressions.condition(text) if as_condition else self._expressions.named(text)
            Expression(translated)
        except (WeaverError, ExpressionError) as error:
            raise WeaverError(f"{key}: {error}") from None
        return translated

    def _samples(self, files: Files) -> None:
        texts = {key: self._weaver.get(key) for key in ("selection", "test_time_selection")}
        cuts = {key: self._text(key, text, as_condition=True) if text else None for key, text in texts.items()}
        selection, at_test = cuts.values()
        tree = files.tree or self._weaver.get("treename")
        if not tree:
            self._note(
                "samples: weaver takes the only tree of a file, Cyclotrain needs a name; 'Events' is written here; or use --tree"
            )
        samples: dict[str, Any] = {}
        for split, listed in (("train", files.train), ("validation", files.validation), ("test", files.test)):
            for entry in listed:
                name, separator, pattern = entry.partition(":")
                if not separator or pattern.startswith("//"):  # a path or a URL without a name
                    name, pattern = "sample", entry
                name = re.sub(r"[^A-Za-z0-9_-]", "_", name) + (f"_{split}" if split != "train" else "")
                sample = samples.setdefault(name, {"files": [], "tree": str(tree or "Events")})
                sample["files"].append(pattern)
                if split != "train" or (files.validation and files.test):
                    sample["split"] = split
                if at_test and files.test and (cut := at_test if split == "test" else selection):
                    sample["selection"] = cut
        if samples and not files.train:
            raise WeaverError("there are files for validation or test, but no files to train with; give --data")
        if not samples:
            samples["sample"] = {"files": ["/path/to/*.root"], "tree": str(tree or "Events")}
            self._note(
                'samples: weaver takes its files on the command line; write yours here, or give --data "name:/path/*.root"'
            )
        if not (files.validation and files.test):
            self._note(
                "split: weaver splits each file by ranges, Cyclotrain by a hash of `event_id`, so it trains on other events"
            )
        self._config["samples"] = samples
        if at_test and at_test != selection and not files.test:
            self._note(f"test_time_selection: '{at_test}' is only for weaver's test files; give them with --data-test")
        if selection and not (at_test and files.test):
            self._config["selection"] = selection

    def _event_id(self) -> None:
        observers = [*(self._weaver.get("observers") or []), *(self._weaver.get("monitor_variables") or [])]
        branches = [self._expressions.branch(name) for name in observers if name not in self._expressions.variables]
        numbers = [name for name in branches if _EVENT.fullmatch(name)]
        if event_id := numbers or branches[:4]:
            self._config["event_id"] = event_id
            self._note(f"event_id: weaver has none; check that {', '.join(event_id)} together identify each event")
        else:
            self._config["event_id"] = ENTRY
            self._note("event_id: weaver has none; the file and the entry number identify an event; give branches if you can")
        if observers:
            self._note(
                "observers, monitor_variables: left out; with friend trees (`make score`) all branches of the ntuple are at hand"
            )

    def _labels(self, classes: list[str]) -> None:
        labels = self._weaver.get("labels") or {}
        self._note_unknown("labels", labels, {"type", "value"})
        if labels.get("type") == "simple" and isinstance(labels.get("value"), list):
            names = [str(name) for name in labels["value"]]
            classes = [re.sub(r"\W+", "_", name).strip("_") for name in names]
            texts = [self._text(f"labels.value.{i}", name) for i, name in enumerate(names)]
            texts = [text if text.isidentifier() else f"({text})" for text in texts]
            index = " + ".join(text if i == 1 else f"{i} * {text}" for i, text in enumerate(texts) if i)
            # -1 is an error: in weaver's training too, exactly one of them must hold
            label = f"where({' + '.join(texts)} == 1, {index}, -1)"
        elif labels.get("type") == "custom" and isinstance(labels.get("value"), dict) and labels["value"]:
            (name, text), *others = labels["value"].items()
            for other, _ in others:
                self._note(f"labels.value.{other}: Cyclotrain has one label; left out")
            label = self._text(f"labels.value.{name}", str(text))
            self._note(f"labels.value.{name}: taken as the index of a class; for a quantity, see docs/regression.md")
            if not classes:
                classes = ["class_0", "class_1"]
                self._note("classes: a custom label does not name them; two placeholders are written here; or use --classes")
        else:
            raise WeaverError("labels: neither `type: simple` with a list as its value nor `type: custom` with a mapping")
        self._config |= {"classes": classes, "label": label}
        signal = next((name for name in classes if not _BACKGROUND.search(name)), classes[0])
        self._config["evaluation"] = {"signal": signal}
        self._note(f"evaluation.signal: weaver has none; {signal} is written here")

    def _weights(self) -> None:
        weights = self._weaver.get("weights") or {}
        self._config["balance"] = "none"
        if not weights:
            return
        known = {"use_precomputed_weights", "weight_branches"} if weights.get("use_precomputed_weights") else {
            "use_precomputed_weights", "weight_branches", "reweight_method", "reweight_basewgt", "reweight_vars",
            "reweight_classes", "class_weights", "reweight_threshold", "reweight_discard_under_overflow", "reweight_hists",
        }  # fmt: skip
        self._note_unknown("weights", weights, known)
        self._note("weights: weaver draws events by their weight, Cyclotrain multiplies the loss by it")
        needed = "weight_branches" if weights.get("use_precomputed_weights") else "reweight_vars"
        if not weights.get(needed):
            raise WeaverError(f"weights: `{needed}` is missing")
        if weights.get("use_precomputed_weights"):
            product = " * ".join(f"({branch})" for branch in weights["weight_branches"])
            self._config["weight"] = self._text("weights.weight_branches", product)
            return
        if base := weights.get("reweight_basewgt"):
            self._config["weight"] = self._text("weights.reweight_basewgt", str(base))
        variables = {self._text("weights.reweight_vars", k): edges for k, edges in weights["reweight_vars"].items()}
        method, reweighted = weights.get("reweight_method", "flat"), list(weights.get("reweight_classes") or [])
        if method not in ("flat", "ref"):
            self._note(f"weights.reweight_method: '{method}' is neither flat nor ref; flattened instead")
        classes = self._config["classes"]
        to = reweighted[0] if method == "ref" and reweighted else "flat"
        if to not in ("flat", *classes):
            self._note(f"weights.reweight_method: the reference '{to}' is not one of the classes; flattened instead")
            to = "flat"
        self._config["flatten"] = {"variables": variables, "to": to}
        if set(reweighted) != set(classes):
            self._note(f"weights.reweight_classes: {', '.join(reweighted)} in weaver; here each of the classes is flattened")
        if len(set(weights.get("class_weights") or [1])) > 1:
            self._note(f"weights.class_weights: {weights['class_weights']} in weaver; here all classes have the same sum")
        self._note("weights.reweight_threshold: no counterpart; the largest factor of each class is in dataset.json")
        if weights.get("reweight_discard_under_overflow") is False:
            self._note(
                "weights.reweight_discard_under_overflow: false in weaver; here the training weight is 0 outside the edges"
            )
        if weights.get("reweight_hists"):
            self._note("weights.reweight_hists: left out; the histograms are made from the training split")


def command_line() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = argparse.ArgumentParser(prog="python -m cyclotrain.weaver", description="weaver data config to Cyclotrain config")
    parser.add_argument("config", type=Path, help="the data config, or the .auto.yaml that weaver made from it")
    for option, split in (("--data", "training"), ("--data-val", "validation"), ("--data-test", "test")):
        parser.add_argument(option, nargs="*", default=[], metavar="NAME:GLOB", help=f"{split} files, given as to weaver")
    parser.add_argument("--tree", help="name of the tree in the files")
    parser.add_argument("--classes", nargs="*", default=[], help="names of the classes of a custom label")
    parser.add_argument("--run", help="name of the run; default: the name of the config")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the YAML to standard output and the notes to standard error; return the exit code."""
    options = command_line().parse_args(arguments)
    try:
        weaver = read_yaml(options.config)
        if not isinstance(weaver, dict):
            raise WeaverError(f"{options.config}: not a weaver data config")
        files = Files(train=options.data, validation=options.data_val, test=options.data_test, tree=options.tree)
        run = options.run or options.config.name.split(".")[0]
        converted = convert(weaver, run=run, files=files, classes=options.classes)
        load(converted.config)
    except (WeaverError, ConfigError, InputError, OSError, yaml.YAMLError) as error:
        print(error, file=sys.stderr)
        return 1
    print(converted.to_yaml(), end="")
    notes = [f"- {note}" for note in converted.notes]
    print(f"{len(notes)} notes, also at the top of the config:", *notes, sep="\n", file=sys.stderr)
    return 0
