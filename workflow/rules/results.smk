RESULTS = {
    "model": rules.export.output[0],
    "weights": rules.train.output.weights,
    "contract": rules.assemble.output.contract,
    "dataset": rules.assemble.output.dataset,
    "history": rules.train.output.history,
    "verification": rules.verify.output[0],
    "evaluation": rules.evaluate.output.evaluation,
    "timing": rules.time_model.output[0],
    "gates": rules.gates.output[0],
    **STUDIES,
}


rule model_card:
    input:
        **RESULTS,
        plots=CARD_PLOTS,
    output:
        markdown="<fold>/model_card.md",
        html=report(
            "<fold>/model_card.html",
            caption="../report/model_card.rst",
            category="Model card",
            labels={"file": "model card", **FOLD_LABEL},
        ),
    log:
        "<fold>/logs/model_card.log",
    localrule: True
    conda:
        "../../envs/cyclotrain.yaml"
    params:
        description=settings.description,
        licence=settings.licence,
        training=settings.training.model_dump(),
        titles=[entry.title for entry in catalogue.plots(settings) if entry.is_on_card],
        files=list(RESULTS),
    script:
        "../../scripts/model_card.py"


rule report_page:
    input:
        **RESULTS,
        plots=PLOTS,
        images=[path.replace(".png", ".svg") for path in PLOTS],
        numbers=[path.replace(".png", ".json") for path in PLOTS],
    output:
        "<fold>/report.html",
    log:
        "<fold>/logs/report_page.log",
    localrule: True
    conda:
        "../../envs/cyclotrain.yaml"
    params:
        config=config,
        bundle=fold_path("deploy"),
        consumers=settings.export.takers,
        files=list(RESULTS),
    script:
        "../../scripts/report_page.py"


rule track:
    input:
        **{name: all_folds(path) for name, path in RESULTS.items()},
        references=all_folds("reference"),
        # plots, cards and reports for the artifacts
        shown=tracked_files(),
    output:
        "<run>/mlflow_run.json",
    log:
        "<run>/logs/track.log",
    localrule: True
    conda:
        "../../envs/cyclotrain.yaml"
    params:
        config=settings.model_dump(),
        files=list(RESULTS),
        folds=FOLDS,
    script:
        "../../scripts/track.py"


rule summarise:
    input:
        **RESULTS,
        card=rules.model_card.output.html,
    output:
        report(
            "<fold>/summary.txt",
            caption="../report/summary.rst",
            category="Summary",
            labels={"figure": "the run in a few lines", **FOLD_LABEL},
        ),
    log:
        "<fold>/logs/summarise.log",
    localrule: True
    conda:
        "../../envs/cyclotrain.yaml"
    params:
        bundle=fold_path("deploy"),
        consumers=settings.export.takers,
        files=list(RESULTS),
    script:
        "../../scripts/summarise.py"


if settings.folds:

    rule summarise_folds:
        input:
            **{name: all_folds(path) for name, path in RESULTS.items()},
        output:
            summary=report(
                "<run>/summary.txt",
                caption="../report/summary_folds.rst",
                category="Summary",
                labels={"figure": "all folds"},
            ),
            figures="<run>/figures.txt",
        log:
            "<run>/logs/summarise_folds.log",
        localrule: True
        conda:
            "../../envs/cyclotrain.yaml"
        params:
            run=settings.run,
            files=list(RESULTS),
        script:
            "../../scripts/summarise_folds.py"

    rule report_of_folds:
        input:
            summary=rules.summarise_folds.output.summary,
            figures=rules.summarise_folds.output.figures,
            pages=all_folds(rules.report_page.output[0]),
        output:
            "<run>/report.html",
        log:
            "<run>/logs/report_of_folds.log",
        localrule: True
        conda:
            "../../envs/cyclotrain.yaml"
        params:
            run=settings.run,
            description=settings.description,
        script:
            "../../scripts/report_of_folds.py"


# The last rule fails a run whose gate failed: by now card, summary, report and MLflow tell of it. Bundles wait for this file.
rule require_gates:
    input:
        gates=all_folds("gates.json"),
        run=rules.track.output[0],
        report="<run>/report.html",
    output:
        "<run>/gates_passed.txt",
    log:
        "<run>/logs/require_gates.log",
    localrule: True
    conda:
        "../../envs/cyclotrain.yaml"
    params:
        folds=FOLDS,
        bundles=all_folds("deploy"),
    script:
        "../../scripts/require_gates.py"
