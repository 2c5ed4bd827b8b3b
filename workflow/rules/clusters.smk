# Without a shared file system HTCondor's executor brings a job's outputs alone back, and Snakemake waits for its benchmark too.
if workflow.storage_settings and not workflow.storage_settings.shared_fs_usage:
    for each in workflow.rules:
        each._benchmark = None
