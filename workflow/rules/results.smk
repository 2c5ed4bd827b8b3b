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
        markdown="<run>/model_card.md",
        html=report(
            "<run>/model_card.html",
            caption="../report/model_card.rst",
            category="Model card",
            labels={"file": "model card"},
        ),
    log:
        "<run>/logs/model_card.log",
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
    script:
        "../../scripts/track.py"


rule summarise:
    input:
        **RESULTS,
        bundle="<run>/deploy",
    output:
        report(
            "<run>/summary.txt",
            caption="../report/summary.rst",
            category="Summary",
            labels={"figure": "the run in a few lines"},
        ),
    log:
        "<run>/logs/summarise.log",
    localrule: True
    conda:
        "../../envs/cyclotrain.yaml"
    params:
        run=settings.run,
    script:
        "../../scripts/summarise.py"
