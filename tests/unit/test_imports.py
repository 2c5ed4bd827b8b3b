"""Each job is a Python of its own: what a rule's script imports is paid for at every job's start."""

import ast
import subprocess
import sys

import pytest

from support import REPOSITORY

WITHOUT_TORCH = (
    "gates", "require_gates", "plot", "model_card", "bundle", "track", "summarise", "summarise_folds", "report_page", "score",
    "skim",
)  # fmt: skip
WITHOUT_LIGHTNING = (
    "assemble", "export", "torchscript", "variant", "verify", "baseline", "evaluate", "time_model", "reference_vectors",
)  # fmt: skip


@pytest.mark.parametrize(("heavy", "rules"), [("torch", WITHOUT_TORCH), ("lightning", WITHOUT_LIGHTNING)])
def test_a_job_imports_no_heavy_library_that_it_does_not_use(heavy: str, rules: tuple[str, ...]) -> None:
    scripts = [ast.parse((REPOSITORY / f"scripts/{rule}.py").read_text()) for rule in rules]
    imports = [ast.unparse(node) for script in scripts for node in script.body if isinstance(node, ast.Import | ast.ImportFrom)]
    code = "\n".join([*imports, f"import sys; print({heavy!r} in sys.modules)"])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY / "scripts")
    assert done.stdout.strip() == "False"
