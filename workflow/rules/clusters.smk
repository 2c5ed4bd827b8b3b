import time

from cyclotrain.cluster.leftovers import remove_leftovers, report_htcondor_events
from cyclotrain.cluster.snakemake_patches import patch_snakemake, warn_of_other_versions

patch_snakemake()
if workflow.is_main_process:
    warn_of_other_versions()

began = int(time.time())


def tidy_cluster(*, is_end=True):
    """Report what the executor does not, and remove jobs that no Snakemake waits for."""
    executor = workflow.executor_plugin.name
    if is_end and executor == "htcondor":
        report_htcondor_events(since=began, is_shared=IS_SHARED)
    remove_leftovers(executor, Path.cwd())


# Snakemake keeps only the last `onstart`, `onsuccess` and `onerror` of a workflow; jobs run none of them.
onstart:
    tidy_cluster(is_end=False)


def say_success():
    """Print the summary, and what to type next."""
    say_at_the_end(
        ending.success(RUN, uri=settings.tracking.uri, options=options_to_repeat())
    )


if SCREEN:
    SCREEN.when_nothing_to_do = say_success


onsuccess:
    tidy_cluster()
    say_success()


onerror:
    tidy_cluster()
    say_at_the_end(ending.failure(RUN, since=began))
