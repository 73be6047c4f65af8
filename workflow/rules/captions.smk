rule captions:
    input:
        caption_inputs,
        tracking=ancient(TRACKING),
    output:
        f"{ROOT}/captions/{{run}}/{{stage}}/manifest.json",
    log:
        f"{ROOT}/logs/captions/{{run}}.{{stage}}.log",
    benchmark:
        f"{ROOT}/benchmarks/captions/{{run}}.{{stage}}.tsv"
    wildcard_constraints:
        run="(?!teacher-)[^/]+",
    conda:
        ENVIRONMENT
    threads: EXPERIMENT.training.threads
    resources:
        gpu=gpus(),
    params:
        code=code_digest("rdt.commands.captions"),
        settings=lambda wildcards: setting(
            [
                asdict(job)
                for job in NETWORKS.captions_of(wildcards.run, wildcards.stage)
            ]
        ),
    message:
        "caption with {wildcards.run} {wildcards.stage}"
    shell:
        rdt("captions EXPERIMENT --run {wildcards.run} --stage {wildcards.stage}")


# The second stages wait for the teacher's captions, so they go before those that only the tables read.
use rule captions as captions_teacher with:
    wildcard_constraints:
        run="teacher-[^/]+",
    priority: 2
