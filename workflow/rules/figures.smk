"""A rule for each figure. They read stored numbers, so that a change of a colour runs no network."""


rule plot_roc:
    input:
        evaluation=rules.evaluate.output.evaluation,
        curves=rules.evaluate.output.curves,
        code=plot_code("physics"),
    output:
        report(
            "<fold>/plots/roc.png",
            caption="../report/figure.rst",
            category="Physics",
            labels={"figure": "ROC", **FOLD_LABEL},
        ),
        "<fold>/plots/roc.svg",
    log:
        "<fold>/logs/plot_roc.log",
    localrule: True
    conda:
        "../../envs/cyclotrain.yaml"
    params:
        figure="physics.roc",
        caption="Background rejection against signal efficiency on the test split: the exported model, its variants, "
        "and boosted trees on example-level features, a colour each; with several backgrounds, a line style "
        "each. Points: the working points, with the uncertainty from 200 Poisson bootstrap "
        "replicas. †: negative weights, which count as they are, take this AUC out of [0, 1].",
    script:
        "../../scripts/plot.py"


rule plot_scores:
    input:
        evaluation=rules.evaluate.output.evaluation,
        curves=rules.evaluate.output.curves,
        code=plot_code("physics"),
    output:
        report(
            "<fold>/plots/scores.png",
            caption="../report/figure.rst",
            category="Physics",
            labels={"figure": "scores", **FOLD_LABEL},
        ),
        "<fold>/plots/scores.svg",
    log:
        "<fold>/logs/plot_scores.log",
    localrule: True
    conda:
        "../../envs/cyclotrain.yaml"
    params:
        figure="physics.scores",
        caption="Signal probability by class, for the training split (filled) and the test split (points). Each class "
        "is normalised to 1. KS p: p-value of the Kolmogorov-Smirnov test between the two splits; a small "
        "value is a sign of overtraining.",
    script:
        "../../scripts/plot.py"


rule plot_confusion:
    input:
        evaluation=rules.evaluate.output.evaluation,
        code=plot_code("physics"),
    output:
        report(
            "<fold>/plots/confusion.png",
            caption="../report/figure.rst",
            category="Physics",
            labels={"figure": "confusion matrix", **FOLD_LABEL},
        ),
        "<fold>/plots/confusion.svg",
    log:
        "<fold>/logs/plot_confusion.log",
    localrule: True
    conda:
        "../../envs/cyclotrain.yaml"
    params:
        figure="physics.confusion",
        caption="For each true class, the weighted fraction of examples by the class with the largest probability, on "
        "the test split.",
    script:
        "../../scripts/plot.py"


rule plot_calibration:
    input:
        evaluation=rules.evaluate.output.evaluation,
        code=plot_code("physics"),
    output:
        report(
            "<fold>/plots/calibration.png",
            caption="../report/figure.rst",
            category="Physics",
            labels={"figure": "calibration", **FOLD_LABEL},
        ),
        "<fold>/plots/calibration.svg",
    log:
        "<fold>/logs/plot_calibration.log",
    localrule: True
    conda:
        "../../envs/cyclotrain.yaml"
    params:
        figure="physics.calibration",
        caption="In 15 bins of the probability of a class: its mean, and the share of the test examples that are of the class. "
        "On the dashed line, a probability is a frequency. The weights and the shares of the classes are those of the "
        "training, which the network learns. Error: the mean distance from the line.",
    script:
        "../../scripts/plot.py"


rule plot_loss:
    input:
        history=rules.train.output.history,
        code=plot_code("training"),
    output:
        report(
            "<fold>/plots/loss.png",
            caption="../report/figure.rst",
            category="Training",
            labels={"figure": "loss by epoch", **FOLD_LABEL},
        ),
        "<fold>/plots/loss.svg",
    log:
        "<fold>/logs/plot_loss.log",
    localrule: True
    conda:
        "../../envs/cyclotrain.yaml"
    params:
        figure="training.loss",
        caption="Weighted loss by epoch. The exported weights are those of the epoch with the lowest validation loss.",
    script:
        "../../scripts/plot.py"


rule plot_latency:
    input:
        timing=rules.time_model.output[0],
        code=plot_code("timing"),
    output:
        report(
            "<fold>/plots/latency.png",
            caption="../report/figure.rst",
            category="Speed",
            labels={"figure": "latency and throughput", **FOLD_LABEL},
        ),
        "<fold>/plots/latency.svg",
    log:
        "<fold>/logs/plot_latency.log",
    localrule: True
    conda:
        "../../envs/cyclotrain.yaml"
    params:
        figure="timing.latency",
        caption="Cost of the exported model on one CPU thread, in each ONNX Runtime of its targets. Left: one test "
        "example at a time, over the real lengths, as in an event loop; the share of examples that take less "
        "than a time, with PyTorch for comparison. Right: examples per second against the batch size.",
    script:
        "../../scripts/plot.py"


rule plot_response:
    input:
        evaluation=rules.evaluate.output.evaluation,
        curves=rules.evaluate.output.curves,
        code=plot_code("regression"),
    output:
        report(
            "<fold>/plots/response_{quantity}.png",
            caption="../report/figure.rst",
            category="Physics",
            labels={"figure": "response of {quantity}", **FOLD_LABEL},
        ),
        "<fold>/plots/response_{quantity}.svg",
    log:
        "<fold>/logs/plot_response_{quantity}.log",
    localrule: True
    conda:
        "../../envs/cyclotrain.yaml"
    params:
        figure="regression.response",
        options=response_options,
        caption="How well the quantity is estimated on the test split: the distribution of estimate - target or estimate / "
        "target, and its median (bias) with half of the width of its central 68.3 % (resolution) in bins of the variables "
        "in `against`. For quantiles without the median: the share of targets below each.",
    script:
        "../../scripts/plot.py"


rule plot_learning_rates:
    input:
        learning_rate=rules.scan_learning_rates.output[0],
        code=plot_code("training"),
    output:
        "<fold>/plots/learning_rates.png",
        "<fold>/plots/learning_rates.svg",
    log:
        "<fold>/logs/plot_learning_rates.log",
    localrule: True
    conda:
        "../../envs/cyclotrain.yaml"
    params:
        figure="training.rates",
    script:
        "../../scripts/plot.py"


# asked for by its name: no run makes it
rule find_learning_rate:
    input:
        all_folds("plots/learning_rates.png"),
    localrule: True


PLOTS = [
    *(
        [
            rules.plot_roc.output[0],
            rules.plot_scores.output[0],
            rules.plot_confusion.output[0],
            rules.plot_calibration.output[0],
        ]
        if settings.classes
        else []
    ),
    *(f"{FOLD}/plots/response_{name}.png" for name in settings.regression),
    rules.plot_loss.output[0],
    rules.plot_latency.output[0],
]
