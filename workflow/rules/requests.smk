# What is asked for, and what is said at the end of it.
import functools


@functools.cache
def files_of_all():
    """All tables, the page about them, and the verdicts; a dry run is told what the table of jobs does not say."""
    # Snakemake knows only after it has read all rules whether it is to run them. The scenes' cost is in their files.
    if workflow.dryrun and EXPERIMENT.data["primary"].source != "scenes":
        print(cost_estimate(PLAN, PATHS), flush=True)
    return [*made("tables"), *made("claims")]


def said_at_the_end():
    """What was asked for and is there now: the tables' numbers, and the files of each request."""
    asked = list(workflow.dag_settings.targets) or ["all"]
    requests = {side.name: [PATHS.side_table(side.name)] for side in NETWORKS.sides}
    requests |= {"report": [PATHS.report], "studies": map(PATHS.study_report, STUDIES)}
    if {"all", "tables", "claims"} & set(asked):
        for path in (PATHS.headline, PATHS.verdicts):
            yield from (
                path.read_text(encoding="utf-8").splitlines() if path.exists() else ()
            )
    for target in asked:
        for path in requests.get(target, [target] if "/" in target else []):
            yield (
                f"{target.capitalize()}: {path}"
                if target in requests
                else f"Made: {path}"
            )
