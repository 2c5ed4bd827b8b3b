rule simulate:
    output:
        "<run>/ntuples/{sample}/{part}.root",
    log:
        "<run>/logs/simulate/{sample}_{part}.log",
    conda:
        "../../envs/cyclotrain.yaml"
    resources:
        **resources_of("simulate"),
    params:
        settings=simulate_params,
    script:
        "../../scripts/simulate.py"


rule skim:
    input:
        ntuples=lambda wildcards: local(job_files(wildcards)),
        friends=lambda wildcards: local(job_friends(wildcards)),
    output:
        shard="<run>/skims/{sample}/{job}.arrow",
        receipt="<run>/skims/{sample}/{job}.json",
    log:
        "<run>/logs/skim/{sample}_{job}.log",
    conda:
        "../../envs/cyclotrain.yaml"
    resources:
        **resources_of("skim"),
    params:
        recipe=skim_recipe,
        receipt_format=RECEIPT_FORMAT,
        urls=lambda wildcards: remote(job_files(wildcards)),
        friends=lambda wildcards: {
            path: friends_of(wildcards.sample, path) for path in job_files(wildcards)
        },
        skip_broken=settings.skip_broken > 0,
    script:
        "../../scripts/skim.py"


rule parent:
    input:
        parent_weights(),
    output:
        weights="<run>/parent/weights.pt",
        contract="<run>/parent/contract.json",
    log:
        "<run>/logs/parent.log",
    # MLflow's server may not be seen from elsewhere
    localrule: True
    conda:
        "../../envs/cyclotrain.yaml"
    params:
        initial_weights=settings.training.initial_weights,
        uri=settings.tracking.uri,
    script:
        "../../scripts/parent.py"


rule assemble:
    input:
        **parent_file("contract"),
        receipts=skims("json"),
        shards=skims("arrow"),
    output:
        contract="<fold>/model/contract.json",
        dataset="<fold>/dataset.json",
    log:
        "<fold>/logs/assemble.log",
    conda:
        "../../envs/cyclotrain.yaml"
    resources:
        **resources_of("assemble"),
    params:
        recipe=dataset_recipe,
    script:
        "../../scripts/assemble.py"
