"""Faults planted in the code on purpose, and the tests that must catch them.

    .venv/bin/python tests/mutations.py                  run the tests without a fault, then with each: half an hour
    .venv/bin/python tests/mutations.py --skip-clean     only with each, after a `make test` that passed
    .venv/bin/python tests/mutations.py --check          only look for the snippets and the tests: seconds
    .venv/bin/python tests/mutations.py selection NaN    only faults with one of these words in their names

Each fault is planted alone, in a copy of the repository. The exit status is 1 if a fault is not caught, if its snippet is not
exactly once in its module, or if none of its tests exists.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
PACKAGE = Path("scripts/cyclotrain")


@dataclass(frozen=True)
class Fault:
    """One fault: `old` becomes `new` in `module`, relative to the package.

    `old` is the exact text, or a pattern where names may change. `tests`: a pattern for the node ids of tests that must see it.
    """

    name: str
    module: str
    old: str | re.Pattern[str]
    new: str
    tests: str

    def pattern(self) -> re.Pattern[str]:
        return self.old if isinstance(self.old, re.Pattern) else re.compile(re.escape(self.old))

    def snippet(self) -> str:
        return self.old.pattern if isinstance(self.old, re.Pattern) else self.old

    def planted(self, code: str) -> str:
        """The module's code with the fault."""
        return self.old.sub(self.new, code) if isinstance(self.old, re.Pattern) else code.replace(self.old, self.new)


FAULTS = [
    Fault(
        "parity: every hostile answer counts as undefined",
        "parity/comparison.py",
        "undefined &= reference.spread() > _SAFETY * self.tolerance",
        "pass",
        r"NaN as zero",
    ),
    Fault(
        "parity: features that are all 0 are not moved, so their ties look like defined answers",
        "parity/cases.py",
        "* x.abs().clamp(min=1)",
        "* x.abs()",
        "differ_where_neighbours",
    ),
    Fault(
        "parity: an undefined answer need not be a probability",
        "parity/comparison.py",
        "self.finite &= bool(good.all())",
        "self.finite &= bool(good[difference.max(1) <= self.tolerance].all())",
        "where_no_answer_is_defined",
    ),
    Fault(
        "parity: the difference of a quantity is not in units of its scale",
        "metrics/distance.py",
        "np.maximum(np.asarray(scales), np.abs(expected[:, first:]))",
        "1.0",
        "in_units_of_their_scale",
    ),
    Fault(
        "regression: the graph gives standardised quantities",
        "networks/outputs.py",
        "part * self.scale[index] + self.offset[index]",
        "part",
        "given_in_their_units|bias_is_within_its_error",
    ),
    Fault(
        "regression: quantiles may cross",
        "networks/outputs.py",
        "value.sort(dim=-1).values",
        "value",
        "quantiles_never_cross",
    ),
    Fault(
        "regression: an example without the quantity counts in its loss",
        "training/loss.py",
        "is_defined_B * _loss(",
        "1.0 * _loss(",
        "without_the_quantity_adds_nothing",
    ),
    Fault(
        "regression: a target outside its classes is used",
        "ingest/skim.py",
        "np.where(is_defined, target, np.float32(np.nan))",
        "target",
        "class_given_by_an_expression",
    ),
    Fault(
        "network: an edit of its source does not train again",
        "networks/source.py",
        "waiting += [name for name in _imported(current, trees[current], path) if _is_own(name, prefixes)]",
        "pass",
        "a_change_of_any_module_of_the_users_is_seen",
    ),
    Fault(
        "expressions: whole numbers are compared as doubles",
        "expressions/awkward_backend.py",
        "if dtype in (np.int64, np.uint64) and x == np.trunc(x):",
        "if False:",
        "integer_branches_are_compared_exactly",
    ),
    Fault(
        "selection: a shard has the constituents of rejected events",
        "ingest/skim.py",
        "np.repeat(keep, counts)",
        "np.roll(np.repeat(keep, counts), 1)",
        "independent_awkward",
    ),
    Fault(
        "preflight: a branch that the files do not have is found by a job only",
        "ingest/preflight.py",
        "check_branches(recipe, ntuple.depths(recipe.branches()), path)",
        "pass",
        r"\[inputs.*no branch 'jet_pT'",
    ),
    Fault(
        "friends: an entry gets the branches of another one's key",
        "ingest/joined.py",
        re.compile(r"\[order\[(\w+)\]\]"),
        r"[\1]",
        "test_(friends|joined).*one_tree",
    ),
    Fault(
        "objects: an index table points into the first event of the batch",
        "ingest/objects.py",
        re.compile(r"return _starts\(\w+\)\[\w+\] \+ (\w+)"),
        r"return \1",
        "test_objects.*index_table",
    ),
    Fault(
        "expressions: index -1, no partner, takes the last element of the entry before",
        "expressions/awkward_backend.py",
        re.compile(r"\((\w+) >= 0\) & "),
        r"(\1 >= -1) & ",
        "test_expressions.*(loop|indices)",
    ),
    Fault(
        "split: events move between training and test with a new release",
        "contract/splits.py",
        "np.uint64(27)",
        "np.uint64(28)",
        "test_splits",
    ),
    Fault(
        "normalisation: the cross section in pb times a luminosity in 1/fb, without the factor 1000",
        "data/assemble.py",
        re.compile(r"cross_section \* _\w+ \*"),
        "cross_section *",
        "weights.*normalised",
    ),
    Fault(
        "negative weights: classes are balanced as if 'absolute' were 'drop'",
        "data/training_weights.py",
        '"absolute": 2',
        '"absolute": 1',
        "weights.*negative_weights",
    ),
    Fault(
        "standardisation is fitted on the validation split",
        "data/assemble.py",
        '"train", normalisation',
        '"validation", normalisation',
        "test_assemble.*standardisation",
    ),
    Fault(
        "batches: a short list of constituents goes on with the next example's",
        "data/batches.py",
        "position < counts",
        "position <= counts",
        "test_batches",
    ),
    Fault(
        "features: with sort_by, the mask of the padding stays in the file's order",
        "networks/features.py",
        "mask.gather(1, order)",
        "mask",
        "sorted_inside",
    ),
    Fault(
        "training: a resumed one draws other random numbers than one without interruption",
        "training/step.py",
        "torch.manual_seed(",
        "int(",
        "killed_training",
    ),
    Fault(
        "export: the file has a newer IR version than the targets load",
        "export/to_onnx.py",
        re.compile(r"proto\.ir_version = \w+"),
        "proto.ir_version = 10",
        "for_the_targets",
    ),
    Fault(
        "parity: the tolerance is ignored",
        "parity/comparison.py",
        "self.max_abs <= self.tolerance",
        "self.max_abs <= 1",
        "wrong_artefact_is_caught",
    ),
    Fault(
        "parity: NaN in a branch is not tried",
        "parity/cases.py",
        '"nan": np.nan',
        '"nan": 0.0',
        r"wrong_artefact_is_caught\[NaN",
    ),
    Fault(
        "ROC: examples with equal scores are cut apart",
        "metrics/roc.py",
        re.compile(r"falling, cell = np\.unique\(-score\.astype\(np\.float64\), return_inverse=True\)"),
        "order = np.argsort(-score.astype(np.float64)); falling, cell = -score[order], np.argsort(order)",
        "test_roc",
    ),
    Fault(
        "gates: a failed one does not fail the run",
        "gates/judge.py",
        "if not failed:",
        "if True:",
        "failed_gate_fails_the_run",
    ),
    Fault(
        "folds: a friend tree has the answer of a model that was trained on the event",
        "deploy/friend_trees.py",
        re.compile(r"& \((\w+) == index\)"),
        r"& ((\1 + 1) % len(models) == index)",
        "not_seen_the_event",
    ),
    Fault(
        "friend trees: once an entry fails the selection, constituents are another entry's",
        "deploy/friend_trees.py",
        "self._starts[rows]",
        "self._starts[: len(rows)]",
        "answer_for_every_entry",
    ),
    Fault(
        "files: a result is written over in place, so a reader can have half of it",
        "core/files.py",
        "part.replace(path)",
        "shutil.copytree(part, path) if part.is_dir() else shutil.copyfile(part, path)",
        "half_the_old",
    ),
    Fault(
        "trust: the chi-square test takes sums of weights for their variances",
        "metrics/chi_square.py",
        "np.sqrt(total1**2 * v2 + total2**2 * v1)",
        "np.sqrt(total1**2 * w2 + total2**2 * w1)",
        r"test_chi_square",
    ),
    Fault(
        "trust: the divergence by chance is that of histograms with as many bins, not entries",
        "metrics/divergence.py",
        "[1 / float(s.sum()) for s in squares]",
        "[float(len(s)) for s in squares]",
        r"test_divergence",
    ),
    Fault(
        "trust: the distance correlation forgets pairs whose order in the second variable is reversed",
        "metrics/distance_correlation.py",
        "- 4 * inverted",
        "",
        r"test_distance_correlation",
    ),
    Fault(
        "trust: what passes a cut counts among what fails it too",
        "evaluation/sculpting.py",
        "failing = self._all(index) - passing",
        "failing = self._all(index)",
        r"test_sculpting",
    ),
    Fault(
        "training: decorrelation acts on the signal",
        "training/decorrelation.py",
        "rows = torch.nonzero((batch.label == index) &",
        "rows = torch.nonzero((batch.label == self._signal) &",
        r"follows_it_much_less",
    ),
    Fault(
        "training: the kept epoch does not depend on decorrelation",
        "training/step.py",
        'values["validation_loss"] = values["validation_loss"] + term',
        "pass",
        r"validation_loss_has_the_term",
    ),
    Fault(
        "export: the graph multiplies the logits by the temperature",
        "networks/outputs.py",
        "logits * (1 / self.temperature)",
        "logits * self.temperature",
        r"test_temperature",
    ),
    Fault(
        "correlated constituents count as independent",
        "metrics/shapes.py",
        "return (self.products - mixed - mixed.T + row.sum() * np.outer(shares, shares)) / self.total**2",
        "return (np.diag(self.counts) - self.total * np.outer(shares, shares)) / self.total**2",
        "metrics/test_shapes",
    ),
    Fault(
        "replicas of a shift do not know the event",
        "metrics/shifts.py",
        "x = event_hash[None, :] ^",
        "x = np.arange(len(event_hash), dtype=np.uint64)[None, :] ^",
        "metrics/test_shifts",
    ),
    Fault(
        "a varied branch uses the values that others have already",
        "data/variations.py",
        "known: dict[str, Column] = dict(zip(own, values.T, strict=True))",
        "known: dict[str, Column] = dict(zip(own, changed.T, strict=True))",
        "evaluation/test_systematics",
    ),
    Fault(
        "data are in training",
        "config/config.py",
        "others = {*self.data_samples, *self.variation_samples}",
        "others = {*self.variation_samples}",
        "ingest/test_data_and_variations",
    ),
    Fault(
        "no feature is shuffled",
        "evaluation/importance.py",
        "shuffled = values[torch.randperm(len(values), generator=generator)]",
        "shuffled = values",
        "evaluation/test_importance",
    ),
    Fault(
        "export: LibTorch takes the operators of TorchScript for old ones",
        "export/to_torch.py",
        "writer.set_min_version(int(reader.get_record(version)))",
        "pass",
        r"test_every_network_gives_pytorchs_answers.*particle_net",
    ),
    Fault(
        "export: the archive of TorchScript has paths of the machine",
        "export/to_torch.py",
        'has_paths, is_example = record.endswith(".debug_pkl")',
        "has_paths, is_example = False",
        r"hold_no_path",
    ),
    Fault(
        "parity: TorchScript is not tried as CMSSW freezes it",
        "runtimes/in_process.py",
        'module if configuration.optimisation == "disable_all" else torch.jit.freeze(module)',
        "module",
        r"module_is_frozen",
    ),
    Fault(
        "export: AOTInductor compiles for one length",
        "export/to_aot_inductor.py",
        "with atomic(path) as temporary, _every_length(), _own_cache():",
        "with atomic(path) as temporary, _own_cache():",
        r"packages_pass_every_case",
    ),
    Fault(
        "parity: a compiled model is not tried in several threads",
        "runtimes/in_process.py",
        "[values] * configuration.threads",
        "[values]",
        r"several_threads_differ",
    ),
    Fault(
        "deploy: C++ gives LibTorch tensors that are not contiguous",
        "deploy/consumers/cpp/cyclotrain_torch.h.jinja",
        "if (!tensor.is_contiguous())",
        "if (false)",
        r"wrong_tensors_are_refused_by_name",
    ),
    Fault(
        "deploy: C++ loads a package that the processor cannot run",
        "deploy/consumers/cpp/cyclotrain_torch.h.jinja",
        'if (level == "x86-64-v2" ? v2 : v3)',
        "if (v2)",
        r"wrong_tensors_are_refused_by_name",
    ),
    Fault(
        "deploy: CMSSW with PyTorch has another order of inputs",
        "deploy/consumers/cmssw_pytorch/Producer.cc.jinja",
        "values[i].data(), shapes[i]",
        "values[values.size() - 1 - i].data(), shapes[values.size() - 1 - i]",
        r"cmssw_producer_gives_the_same_numbers_in_four_streams",
    ),
    Fault(
        "libtorch: a thread with another answer is lost",
        "runtimes/libtorch.py",
        "answer.tobytes() != first",
        "False",
        r"thread_with_another_answer_is_not_lost",
    ),
    Fault(
        "libtorch: a package is run whatever the shapes are",
        "runtimes/libtorch_worker.cpp",
        "  const Tensors batch = read_batch();\n  check(batch, inputs);",
        "  const Tensors batch = read_batch();",
        r"inputs_of_other_shapes_are_refused.*package",
    ),
]


class Copy:
    """A copy of the repository in another folder, where faults are planted and pytest runs."""

    def __init__(self, repository: Path, folder: Path) -> None:
        self.folder = folder
        listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        for name in subprocess.run(listing, cwd=repository, capture_output=True, text=True, check=True).stdout.split("\0"):
            if (repository / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(repository / name, folder / name)
        # Workflow tests ask git for the list of files.
        for command in (["git", "init", "--quiet"], ["git", "add", "--all"]):
            subprocess.run(command, cwd=folder, check=True)

    def obstacle(self, fault: Fault) -> str:
        """Why the fault cannot be planted, and which modules have its snippet; empty if it can be planted."""
        module = self.folder / PACKAGE / fault.module
        count = len(fault.pattern().findall(module.read_text())) if module.is_file() else 0
        if count == 1:
            return ""
        others = [
            str(path.relative_to(self.folder / PACKAGE))
            for path in sorted((self.folder / PACKAGE).rglob("*.py"))
            if path != module and fault.pattern().search(path.read_text())
        ]
        place = f"is {count} times in {fault.module}" if module.is_file() else f"is for {fault.module}, which does not exist"
        return f"the snippet '{fault.snippet()}' {place}; other modules that have it: {', '.join(others) or 'none'}"

    def pytest(self, *arguments: str) -> tuple[int, str]:
        """The exit status and the output of pytest."""
        environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            # Bytecode would be stale if a module is changed and changed back within a second.
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--hypothesis-seed=0", *arguments]
        done = subprocess.run(
            command, cwd=self.folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        return done.returncode, done.stdout

    def node_ids(self) -> list[str]:
        """All tests."""
        status, output = self.pytest("--collect-only", "--quiet")
        if status:
            sys.exit(f"pytest cannot collect the tests:\n{output[-4000:]}")
        return [line for line in output.splitlines() if "::" in line]

    def outcome(self, fault: Fault, tests: Sequence[str]) -> tuple[bool, str]:
        """Whether a test catches the fault, and the first one that does."""
        module = self.folder / PACKAGE / fault.module
        code = module.read_text()
        module.write_text(fault.planted(code))
        try:
            status, output = self.pytest("-x", *tests)
        finally:
            module.write_text(code)
        if failed := re.search(r"^(?:FAILED|ERROR) (\S+::.*?)(?: - .*)?$", output, re.MULTILINE):
            return True, failed[1]
        # A module that cannot be imported is no fault of physics: it counts as not caught.
        return False, f"pytest: {output.rstrip().splitlines()[-1].strip('= ')}, exit status {status}"


def main(repository: Path, faults: Sequence[Fault]) -> int:
    """Plant the faults and print the outcome of each; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--skip-clean", action="store_true")
    options = parser.parse_args()
    faults = [fault for fault in faults if not options.words or any(word in fault.name for word in options.words)]
    with tempfile.TemporaryDirectory(prefix="cyclotrain-mutations-") as folder:
        copy = Copy(repository, Path(folder))
        node_ids = copy.node_ids()
        tests = {fault: [test for test in node_ids if re.search(fault.tests, test)] for fault in faults}
        obstacles = {fault: copy.obstacle(fault) or ("" if tests[fault] else f"no test '{fault.tests}'") for fault in faults}
        if not (options.check or options.skip_clean):
            status, output = copy.pytest("-x", *(test for test in node_ids if any(test in tests[fault] for fault in faults)))
            if status:
                sys.exit(f"these tests must pass without a fault:\n{output[-4000:]}")
            print(f"Without a fault: {output.rstrip().splitlines()[-1].strip('= ')}", flush=True)
        succeeded = 0
        for fault in faults:
            start = time.monotonic()
            verdict, reason = "NOT PLANTED", obstacles[fault]
            if options.check and not reason:
                verdict, reason, succeeded = "ok", f"{len(tests[fault])} tests", succeeded + 1
            elif not reason:
                is_caught, reason = copy.outcome(fault, tests[fault])
                verdict, succeeded = "caught" if is_caught else "NOT CAUGHT", succeeded + is_caught
            print(f"{time.monotonic() - start:4.0f} s  {verdict:11}  {fault.name}\n                     {reason}", flush=True)
    print(f"{succeeded} of {len(faults)} {'can be planted' if options.check else 'are caught'}")
    return int(succeeded < len(faults))


if __name__ == "__main__":
    sys.exit(main(REPOSITORY, FAULTS))
