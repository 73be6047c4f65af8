rule all:
    input:
        lambda wildcards: files_of_all(),
    message:
        "all tables are written"


include: "workflow/rules/common.smk"
include: "workflow/rules/requests.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/features.smk"
include: "workflow/rules/training.smk"
include: "workflow/rules/captions.smk"
include: "workflow/rules/tables.smk"
include: "workflow/rules/studies.smk"
include: "workflow/rules/report.smk"


onstart:
    # not in a job that Snakemake runs in a process of its own
    if workflow.exec_mode.name == "DEFAULT":
        claim()
        # Snakemake would look for work every second, once more for each job that has ended.
        if workflow.local_exec:
            workflow.scheduler.job_rate_limiter = None
        try:
            check_data(EXPERIMENT)
        except UserError as error:
            stop(error)


onsuccess:
    print(*said_at_the_end(), sep="\n", flush=True)
    shell(f"python -m rdt track flush {shlex.quote(NAME)}")


onerror:
    shell(f"python -m rdt track flush {shlex.quote(NAME)}")
