rule reference_vectors:
    input:
        contract=rules.assemble.output.contract,
        onnx=rules.export.output[0],
        shards=skims("arrow"),
    output:
        directory("<fold>/reference"),
    log:
        "<fold>/logs/reference_vectors.log",
    conda:
        "../../envs/cyclotrain.yaml"
    resources:
        **resources_of("reference_vectors"),
    script:
        "../../scripts/reference_vectors.py"


rule bundle:
    input:
        **model_forms(),
        contract=rules.assemble.output.contract,
        variants=variants(),
        reference=rules.reference_vectors.output[0],
        cards=rules.model_card.output,
        plots=CARD_PLOTS,
        working_points=working_points(),
        # nothing is deployed that failed
        gates=rules.require_gates.output[0],
    output:
        directory("<fold>/deploy"),
    log:
        "<fold>/logs/bundle.log",
    localrule: True
    conda:
        "../../envs/cyclotrain.yaml"
    params:
        forms=list(model_forms()),
        consumers=settings.export.takers,
    script:
        "../../scripts/bundle.py"


rule score_file:
    input:
        ntuple=lambda wildcards: local(friend_ntuple(wildcards)),
        friends=lambda wildcards: local(
            friends_of(wildcards.name, *friend_ntuple(wildcards))
        ),
        onnx=all_folds("model/model.onnx"),
        verification=all_folds("verification.json"),
        gates=rules.require_gates.output[0],
    output:
        "<run>/friends/{name}/{file}",
    log:
        "<run>/logs/score/{name}/{file}.log",
    # the path of a file may have folders
    wildcard_constraints:
        name="[^/]+",
    conda:
        "../../envs/cyclotrain.yaml"
    resources:
        **resources_of("score_file"),
    params:
        ntuple=friend_params,
        url=lambda wildcards: remote(friend_ntuple(wildcards)),
    script:
        "../../scripts/score.py"


rule score:
    input:
        friend_trees,
