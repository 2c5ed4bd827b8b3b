"""A rule for each figure. They read stored numbers, so that a change of a colour runs no network."""


rule plot_roc:
    input:
        evaluation=rules.evaluate.output.evaluation,
        curves=rules.evaluate.output.curves,
        code=plot_code("physics"),
    output:
        report(
            "<fold>/plots/roc.png",
            caption="../report/roc.rst",
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
            caption="../report/scores.rst",
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
    script:
        "../../scripts/plot.py"


rule plot_confusion:
    input:
        evaluation=rules.evaluate.output.evaluation,
        code=plot_code("physics"),
    output:
        report(
            "<fold>/plots/confusion.png",
            caption="../report/confusion.rst",
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
    script:
        "../../scripts/plot.py"


rule plot_loss:
    input:
        history=rules.train.output.history,
        code=plot_code("training"),
    output:
        report(
            "<fold>/plots/loss.png",
            caption="../report/loss.rst",
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
    script:
        "../../scripts/plot.py"


rule plot_latency:
    input:
        timing=rules.time_model.output[0],
        code=plot_code("timing"),
    output:
        report(
            "<fold>/plots/latency.png",
            caption="../report/latency.rst",
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
    script:
        "../../scripts/plot.py"


PLOTS = [
    rules.plot_roc.output[0],
    rules.plot_scores.output[0],
    rules.plot_confusion.output[0],
    rules.plot_loss.output[0],
    rules.plot_latency.output[0],
]
