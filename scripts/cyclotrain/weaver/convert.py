"""A weaver data config as a Cyclotrain config, and a list of what cannot be carried over and of what differs.

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
    """What weaver has on its command line, as `name:glob`: --data-train, --data-val, --data-test; and the tree's name."""

    train: Sequence[str] = ()
    validation: Sequence[str] = ()
    test: Sequence[str] = ()
    tree: str | None = None


@dataclass
class Converted:
    """`config` as `cyclotrain.config.load` takes it; `notes`: what is lost and what differs.

    `groups`: of weaver's inputs, as in `Inputs`.
    """

    config: dict[str, Any]
    notes: list[str] = field(default_factory=list)
    groups: dict[str, tuple[str, list[int | None]]] = field(default_factory=dict)

    def to_yaml(self) -> str:
        """The config with its notes on top."""
        lines = [_SCHEMA, "# Made from a weaver data config. Lost, or different from there:"]
        lines += [f"# - {line}" if i == 0 else f"#   {line}" for note in self.notes for i, line in enumerate(note.splitlines())]
        return "\n".join([*lines, "", *commented(self.config).splitlines()[2:]]).replace("\n\n\n", "\n\n") + "\n"


def convert(weaver: Mapping[str, Any], run: str, files: Files, classes: Sequence[str] = ()) -> Converted:
    """Convert the content of a weaver data config; `classes`: names for the values of a custom label.

    Raises WeaverError for what no config can be made without: inputs, a label, a selection or weights that have no counterpart.
    """
    return _Conversion(weaver, Converted({"run": re.sub(r"[^A-Za-z0-9_-]", "_", run)})).result(files, classes)


class _Conversion:
    def __init__(self, weaver: Mapping[str, Any], made: Converted) -> None:
        self._weaver, self._config, self._made = weaver, made.config, made
        variables = {name: str(text) for name, text in (weaver.get("new_variables") or {}).items()}
        self._expressions = Expressions(variables, weaver.get("branch_magic") or {})
        self._defined: list[str] = []

    def result(self, files: Files, classes: Sequence[str]) -> Converted:
        self._unknown("", self._weaver, _KEYS)
        for key in ("file_magic", "bucketing"):
            if self._weaver.get(key):
                self._note(f"{key}: no counterpart, left out")
        self._samples(files)
        self._event_id()
        self._config["define"] = {}  # filled last, and shown here
        self._labels(list(classes))
        self._weights()
        preprocess = self._weaver.get("preprocess") or {}
        self._unknown("preprocess", preprocess, {"method", "data_fraction", "params"})
        inputs = Inputs(self._expressions, preprocess)
        inputs.convert(self._weaver.get("inputs") or {})
        self._config["inputs"], self._made.groups = inputs.sets, inputs.groups
        self._made.notes += inputs.notes
        jagged = [name for name, of in self._config["inputs"].items() if "max_length" in of]
        self._config["model"] = {"name": "deep_sets" if jagged else "mlp"}
        self._note(f"model: the network is no part of a weaver data config; {self._config['model']['name']} stands here")
        for name in self._defined:
            self._config["define"][name] = self._text(f"new_variables.{name}", "named", self._expressions.variables[name])
        if not self._defined:
            del self._config["define"]
        if numbers := list(self._expressions.as_conditions):
            self._note(f"numbers used as conditions hold where they are not 0: {', '.join(numbers)}")
        return self._made

    def _note(self, text: str) -> None:
        self._made.notes.append(text)

    def _unknown(self, section: str, content: Mapping[str, Any], known: set[str]) -> None:
        for key in content:
            if key not in known:
                self._note(f"{section + '.' if section else ''}{key}: not a key of weaver that is known here, left out")

    def _text(self, key: str, way: str, text: str) -> str:
        """An expression for ingest, with what it needs in `define`."""
        try:
            self._defined += [name for name in self._expressions.used(text) if name not in self._defined]
            made: str = getattr(self._expressions, way)(text)
            Expression(made)
        except (WeaverError, ExpressionError) as error:
            raise WeaverError(f"{key}: {error}") from None
        return made

    def _samples(self, files: Files) -> None:
        texts = {key: self._weaver.get(key) for key in ("selection", "test_time_selection")}
        cuts = {key: self._text(key, "condition", text) if text else None for key, text in texts.items()}
        selection, at_test = cuts.values()
        tree = files.tree or self._weaver.get("treename")
        if not tree:
            self._note(
                "samples: weaver takes the only tree of a file, Cyclotrain one by name; 'Events' stands here, or give --tree"
            )
        samples: dict[str, Any] = {}
        for split, listed in (("train", files.train), ("validation", files.validation), ("test", files.test)):
            for entry in listed:
                name, separator, pattern = entry.partition(":")
                if not separator or pattern.startswith("//"):  # no name: a path, or the URL of one
                    name, pattern = "sample", entry
                name = re.sub(r"[^A-Za-z0-9_-]", "_", name) + (f"_{split}" if split != "train" else "")
                of_name = samples.setdefault(name, {"files": [], "tree": str(tree or "Events")})
                of_name["files"].append(pattern)
                if split != "train" or (files.validation and files.test):
                    of_name["split"] = split
                if at_test and files.test and (cut := at_test if split == "test" else selection):
                    of_name["selection"] = cut
        if samples and not files.train:
            raise WeaverError("files to validate or test with, and none to train with")
        if not samples:
            samples["sample"] = {"files": ["/path/to/*.root"], "tree": str(tree or "Events")}
            self._note('samples: weaver has its files on the command line; write yours, or give --data "name:/path/*.root"')
        if not (files.validation and files.test):
            self._note("split: weaver takes ranges of each file, Cyclotrain a hash of `event_id`, so other events train")
        self._config["samples"] = samples
        if at_test and at_test != selection and not files.test:
            self._note(f"test_time_selection: '{at_test}' is for weaver's test files alone; give them with --data-test")
        if selection and not (at_test and files.test):
            self._config["selection"] = selection

    def _event_id(self) -> None:
        observers = [*(self._weaver.get("observers") or []), *(self._weaver.get("monitor_variables") or [])]
        branches = [self._expressions.branch(name) for name in observers if name not in self._expressions.variables]
        of_event = [name for name in branches if _EVENT.fullmatch(name)]
        if found := of_event or branches[:4]:
            self._config["event_id"] = found
        self._note(f"event_id: weaver has none; {', '.join(found or ['run', 'luminosityBlock', 'event'])} must tell events apart")
        if observers:
            self._note(
                "observers, monitor_variables: left out; friend trees (`make score`) stand beside all branches of the ntuple"
            )

    def _labels(self, classes: list[str]) -> None:
        labels = self._weaver.get("labels") or {}
        self._unknown("labels", labels, {"type", "value"})
        if labels.get("type") == "simple" and isinstance(labels.get("value"), list):
            names = [str(name) for name in labels["value"]]
            classes = [re.sub(r"\W+", "_", name).strip("_") for name in names]
            texts = [self._text(f"labels.value.{i}", "named", name) for i, name in enumerate(names)]
            texts = [text if text.isidentifier() else f"({text})" for text in texts]
            index = " + ".join(text if i == 1 else f"{i} * {text}" for i, text in enumerate(texts) if i)
            # as in weaver's training, it is an error where none or two of them hold
            label = f"where({' + '.join(texts)} == 1, {index}, -1)"
        elif labels.get("type") == "custom" and isinstance(labels.get("value"), dict) and labels["value"]:
            (name, text), *others = labels["value"].items()
            for other, _ in others:
                self._note(f"labels.value.{other}: Cyclotrain has one label; left out")
            label = self._text(f"labels.value.{name}", "named", str(text))
            self._note(f"labels.value.{name}: taken as the index of a class; Cyclotrain has no regression")
            if not classes:
                classes = ["class_0", "class_1"]
                self._note("classes: a custom label does not name them, and two placeholders stand here; give --classes")
        else:
            raise WeaverError("labels: neither `type: simple` with a list nor `type: custom` with a mapping as its value")
        self._config |= {"classes": classes, "label": label}
        signal = next((name for name in classes if not _BACKGROUND.search(name)), classes[0])
        self._config["evaluation"] = {"signal": signal}
        self._note(f"evaluation.signal: weaver has none; {signal} stands here")

    def _weights(self) -> None:
        weights = self._weaver.get("weights") or {}
        self._config["balance"] = "none"
        if not weights:
            return
        known = {"use_precomputed_weights", "weight_branches"} if weights.get("use_precomputed_weights") else {
            "use_precomputed_weights", "weight_branches", "reweight_method", "reweight_basewgt", "reweight_vars",
            "reweight_classes", "class_weights", "reweight_threshold", "reweight_discard_under_overflow", "reweight_hists",
        }  # fmt: skip
        self._unknown("weights", weights, known)
        self._note("weights: weaver draws events by their weight, Cyclotrain multiplies the loss by it")
        needed = "weight_branches" if weights.get("use_precomputed_weights") else "reweight_vars"
        if not weights.get(needed):
            raise WeaverError(f"weights: there is no `{needed}`")
        if weights.get("use_precomputed_weights"):
            product = " * ".join(f"({branch})" for branch in weights["weight_branches"])
            self._config["weight"] = self._text("weights.weight_branches", "named", product)
            return
        if base := weights.get("reweight_basewgt"):
            self._config["weight"] = self._text("weights.reweight_basewgt", "named", str(base))
        variables = {self._text("weights.reweight_vars", "named", k): edges for k, edges in weights["reweight_vars"].items()}
        method, of_classes = weights.get("reweight_method", "flat"), list(weights.get("reweight_classes") or [])
        if method not in ("flat", "ref"):
            self._note(f"weights.reweight_method: '{method}' is neither flat nor ref; flattened instead")
        classes = self._config["classes"]
        to = of_classes[0] if method == "ref" and of_classes else "flat"
        if to not in ("flat", *classes):
            self._note(f"weights.reweight_method: ref's '{to}' is not one of the classes; flattened instead")
            to = "flat"
        self._config["flatten"] = {"variables": variables, "to": to}
        if set(of_classes) != set(classes):
            self._note(f"weights.reweight_classes: {', '.join(of_classes)} there; flattened for each of the classes here")
        if len(set(weights.get("class_weights") or [1])) > 1:
            self._note(f"weights.class_weights: {weights['class_weights']} there; all classes have the same sum here")
        self._note("weights.reweight_threshold: no counterpart; the largest factor of each class is in dataset.json")
        if weights.get("reweight_discard_under_overflow") is False:
            self._note("weights.reweight_discard_under_overflow: false there; outside the edges the training weight is 0 here")
        if weights.get("reweight_hists"):
            self._note("weights.reweight_hists: left out, they are made again from the training split")


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the YAML to the standard output and the notes to the other; gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m cyclotrain.weaver", description="weaver data config to Cyclotrain config")
    parser.add_argument("config", type=Path, help="the data config, or the .auto.yaml that weaver made from it")
    for option, split in (("--data", "training"), ("--data-val", "validation"), ("--data-test", "test")):
        parser.add_argument(option, nargs="*", default=[], metavar="NAME:GLOB", help=f"{split} files, as weaver takes them")
    parser.add_argument("--tree", help="name of the tree in the files")
    parser.add_argument("--classes", nargs="*", default=[], help="names of the classes of a custom label")
    parser.add_argument("--run", help="name of the run; default: the name of the config")
    given = parser.parse_args(arguments)
    try:
        content = yaml.safe_load(given.config.read_text())
        if not isinstance(content, dict):
            raise WeaverError(f"{given.config}: not a weaver data config")
        files = Files(given.data, given.data_val, given.data_test, given.tree)
        made = convert(content, given.run or given.config.name.split(".")[0], files, given.classes)
        load(made.config)
    except (WeaverError, ConfigError, OSError, yaml.YAMLError) as error:
        print(error, file=sys.stderr)
        return 1
    print(made.to_yaml(), end="")
    print(f"{len(made.notes)} notes, also at the top of the config:", *(f"- {n}" for n in made.notes), sep="\n", file=sys.stderr)
    return 0
