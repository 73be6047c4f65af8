rule train:
    input:
        training_inputs,
        tracking=ancient(TRACKING),
    output:
        expand(
            f"{ROOT}/runs/{{{{run}}}}/{{{{stage}}}}/{{name}}",
            name=["model.safetensors", "raw.safetensors", "config.json", "curves.csv"],
        ),
    log:
        f"{ROOT}/logs/train/{{run}}.{{stage}}.log",
    benchmark:
        f"{ROOT}/benchmarks/train/{{run}}.{{stage}}.tsv"
    priority: 1
    conda:
        ENVIRONMENT
    threads: training_threads()
    resources:
        gpu=gpus(EXPERIMENT.training.processes),
    params:
        code=code_digest("rdt.commands.train"),
        settings=lambda wildcards: settings_digest(
            resolved_configuration(EXPERIMENT, NETWORKS.runs[wildcards.run])
        ),
    message:
        "train {wildcards.run} {wildcards.stage}"
    shell:
        rdt(
            "train EXPERIMENT --run {wildcards.run} --stage {wildcards.stage}",
            EXPERIMENT.training.processes,
        )
