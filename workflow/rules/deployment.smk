rule bundle:
    input:
        contract=rules.assemble.output.contract,
        onnx=rules.export.output[0],
        shards=skims("arrow"),
        # nothing is deployed that failed
        gates=rules.gates.output[0],
    output:
        directory("<run>/deploy"),
    log:
        "<run>/logs/bundle.log",
    conda:
        "../../envs/cyclotrain.yaml"
    resources:
        mem_mb=4000,
        runtime=30,
    script:
        "../../scripts/bundle.py"
