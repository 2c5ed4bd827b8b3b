"""The forms of a model, in words: what they are called, and which one to take."""

from cyclotrain.contract.results import AOT_INDUCTOR, MODEL, TORCHSCRIPT, RuntimeTiming, Timing
from cyclotrain.runtimes.instruction_sets import level_of

NAMES = {
    MODEL: "`model.onnx` in ONNX Runtime",
    TORCHSCRIPT: "TorchScript in LibTorch",
    **{form: f"compiled for {level_of(form)}, in LibTorch" for form in AOT_INDUCTOR},
}
_WORTH_IT = 1.1  # times as fast as the model; less is no reason for another form


def advice(timing: Timing) -> str | None:
    """Which form to take, by what was measured in Python; None if there is one only."""
    if not timing.forms:
        return None
    forms: dict[str, RuntimeTiming] = {MODEL: timing.runtimes[0], **timing.forms}
    single = max(forms, key=lambda form: timing.forms[form].gain.batch_1_latency if form in timing.forms else _WORTH_IT)
    large = max(forms, key=lambda form: timing.forms[form].gain.batch_1024_rate if form in timing.forms else _WORTH_IT)
    if single == large == MODEL:
        return f"Take {NAMES[MODEL]}: no other form is more than 10 % faster."
    latency, rate = forms[single].batch_1_latency_ms.p50, forms[large].examples_per_second[1024]
    cpp = timing.forms[single].cpp if single in timing.forms else None
    in_cpp = f"; {cpp.batch_1_latency_ms.p50:.2g} ms in C++" if cpp else ""
    for_one = f"one example at a time ({latency:.2g} ms{_times(timing, single, 'batch_1_latency')}{in_cpp})"
    for_many = f"batches of 1024 ({rate:,.0f} examples/s{_times(timing, large, 'batch_1024_rate')})"
    if single == large:
        return f"Take the form {NAMES[single]}, for {for_one} and for {for_many}."
    return f"For {for_one} take the form {NAMES[single]}, for {for_many} {NAMES[large]}."


def _times(timing: Timing, form: str, of: str) -> str:
    """By which factor a form gains over the model, in words."""
    return f", {getattr(timing.forms[form].gain, of):.2g} times as fast as `model.onnx`" if form in timing.forms else ""
