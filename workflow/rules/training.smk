rule train:
    input:
        made_from("train"),
        tracking=tracked("train"),
    output:
        made("train", run="{run}", stage="{stage}"),
    log:
        f"{ROOT}/logs/train/{{run}}.{{stage}}.log",
    priority: of_chain(CHAIN.urgency, "train", {})
    conda:
        ENVIRONMENT
    threads: TRAINING.processes * (TRAINING.threads + TRAINING.workers)
    resources:
        gpu=GPU * TRAINING.processes,
    params:
        made_with("train"),
    message:
        "train {wildcards.run} {wildcards.stage}"
    shell:
        f"RDT_RULE=train python -m {TOGETHER}rdt train {NAMED}"
        " --run {wildcards.run} --stage {wildcards.stage} > {log} 2>&1"
