import time

from snakemake.dag import DAG

from cyclotrain.cluster import snakemake_patches as cluster

cluster.bear_wrong_clocks(DAG)

# Snakemake has imported all executors that are installed; the one in use begins to ask before `onstart`.
if slurm := sys.modules.get("snakemake_executor_plugin_slurm"):
    cluster.ask_as_told(slurm.Executor)
if htcondor := sys.modules.get("snakemake_executor_plugin_htcondor"):
    cluster.ask_for_jobs_alone(htcondor.Executor)


def look_after_jobs(since=None):
    """Remove jobs that no Snakemake waits for, and at the end say what the executor does not."""
    if workflow.is_main_process:
        if since:
            cluster.say_events(workflow.executor_plugin.name, since, IS_SHARED)
        cluster.remove_leftovers(workflow.executor_plugin.name, Path.cwd())


began = int(time.time())


onstart:
    look_after_jobs()


onsuccess:
    look_after_jobs(began)
    say_at_the_end(ending.success(RUN, settings.tracking.uri))


onerror:
    look_after_jobs(began)
    say_at_the_end(ending.failure(RUN))
