RESULTS = {
    "model": rules.export.output[0],
    "contract": rules.assemble.output.contract,
    "dataset": rules.assemble.output.dataset,
    "history": rules.train.output.history,
    "verification": rules.verify.output[0],
    "evaluation": rules.evaluate.output.result,
    "benchmark": rules.time_model.output.result,
}


PLOTS = [
    rules.evaluate.output.roc,
    rules.evaluate.output.scores,
    rules.evaluate.output.confusion,
    rules.evaluate.output.training,
    rules.time_model.output.plot,
]


rule model_card:
    input:
        **RESULTS,
        plots=PLOTS,
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
        files=list(RESULTS),
    script:
        "../../scripts/model_card.py"


rule track:
    input:
        **RESULTS,
        plots=PLOTS,
        cards=rules.model_card.output,
        before=tracked_before,
    output:
        "<fold>/mlflow_run.json",
    log:
        "<fold>/logs/track.log",
    localrule: True
    conda:
        "../../envs/cyclotrain.yaml"
    params:
        config=settings.model_dump(),
        files=list(RESULTS),
    script:
        "../../scripts/track.py"


rule summarise:
    input:
        **RESULTS,
        bundle="<fold>/deploy",
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
        run=settings.run,
    script:
        "../../scripts/summarise.py"


if settings.folds:

    rule summarise_folds:
        input:
            evaluations=of_all_folds("evaluation.json"),
            verifications=of_all_folds("verification.json"),
        output:
            report(
                "<run>/summary.txt",
                caption="../report/summary_folds.rst",
                category="Summary",
                labels={"figure": "all folds"},
            ),
        log:
            "<run>/logs/summarise_folds.log",
        localrule: True
        conda:
            "../../envs/cyclotrain.yaml"
        params:
            run=settings.run,
        script:
            "../../scripts/summarise_folds.py"
