RESULTS = {
    "model": rules.export.output[0],
    "contract": rules.assemble.output.contract,
    "dataset": rules.assemble.output.dataset,
    "history": rules.train.output.history,
    "verification": rules.verify.output[0],
    "evaluation": rules.evaluate.output.result,
    "benchmark": rules.time_model.output[0],
}


rule track:
    input:
        **RESULTS,
        plots=[
            rules.evaluate.output.roc,
            rules.evaluate.output.scores,
            rules.evaluate.output.confusion,
            rules.evaluate.output.training,
        ],
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
        bundle=rules.bundle.output[0],
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
