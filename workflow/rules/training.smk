def training_inputs(wildcards):
    """Data of the run's role, the earlier stages, and the captions that this stage reads."""
    role = PLAN.runs[wildcards.run].role
    earlier, captions = PLAN.inputs(wildcards.run, wildcards.stage)
    files = [*annotations(role), *store(role), f"{ROOT}/vocabulary/{role}.json", f"{ROOT}/index/{role}/retrieved.npz"]
    for run, stage in earlier:
        files += weights(run, stage)
    return files + [captions_done(job) for job in captions]


rule train:
    input:
        training_inputs,
        tracking=ancient(TRACKING),
    output:
        expand(
            f"{ROOT}/runs/{{{{run}}}}/{{{{stage}}}}/{{name}}",
            name=["model.safetensors", "raw.safetensors", "config.json", "curves.csv"],
        ),
    params:
        code=code_digest("rdt.training.stage"),
        settings=lambda wildcards: digest(resolved_configuration(EXPERIMENT, PLAN.runs[wildcards.run])),
    threads: EXPERIMENT.training.threads
    resources:
        gpu=0,
    log:
        f"{ROOT}/logs/train/{{run}}.{{stage}}.log",
    benchmark:
        f"{ROOT}/benchmarks/train/{{run}}.{{stage}}.tsv"
    conda:
        ENVIRONMENT
    shell:
        rdt("train EXPERIMENT --run {wildcards.run} --stage {wildcards.stage}")
