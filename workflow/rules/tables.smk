
report: "../report/workflow.rst"


# the tables to read, with their names
READ = {
    f"{PATHS.tables.as_posix()}/table_{name}.md": name for name in EXPERIMENT.tables
}


# The baselines are written last and stand for the scores of all networks, which are made together.
rule score:
    input:
        made_from("score", split="test"),
        tracking=tracked("score", split="test"),
    output:
        made("score", role="{role}", split="test"),
    log:
        f"{ROOT}/logs/score_{{role}}.log",
    priority: of_chain(CHAIN.urgency, "score", {"split": "test"})
    conda:
        ENVIRONMENT
    threads: 2  # METEOR's process works beside ours
    params:
        made_with("score", split="test"),
    message:
        "score the captions of {wildcards.role}"
    shell:
        f"RDT_RULE=score python -m rdt score {NAMED} --role {{wildcards.role}} > {{log}} 2>&1"


rule tables:
    input:
        made_from("tables"),
    output:
        [path for path in made("tables") if path not in READ],
        [
            report(
                path,
                category="Tables",
                labels={"table": name},
                caption="../report/table.rst",
            )
            for path, name in READ.items()
        ],
    log:
        f"{ROOT}/logs/tables.log",
    conda:
        ENVIRONMENT
    params:
        made_with("tables"),
    message:
        "write the tables"
    shell:
        f"RDT_RULE=tables python -m rdt tables {NAMED} > {{log}} 2>&1"


rule inspect:
    input:
        made_from("inspect"),
    output:
        made("inspect", run="{run}", stage="{stage}"),
    log:
        f"{ROOT}/logs/inspect/{{run}}.{{stage}}.log",
    priority: of_chain(CHAIN.urgency, "inspect", {})
    conda:
        ENVIRONMENT
    threads: TRAINING.threads
    resources:
        gpu=GPU,
    params:
        made_with("inspect"),
    message:
        "inspect {wildcards.run} {wildcards.stage}"
    shell:
        f"RDT_RULE=inspect python -m rdt inspect {NAMED}"
        " --run {wildcards.run} --stage {wildcards.stage} > {log} 2>&1"


rule claims:
    input:
        made_from("claims"),
    output:
        report(
            made("claims")[0],
            category="Claims",
            caption="../report/claims.rst",
        ),
        made("claims")[1:],
    log:
        f"{ROOT}/logs/claims.log",
    conda:
        ENVIRONMENT
    params:
        made_with("claims"),
    message:
        "judge the paper's claims"
    shell:
        f"RDT_RULE=claims python -m rdt claims {NAMED} > {{log}} 2>&1"
