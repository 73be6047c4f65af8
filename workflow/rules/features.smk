rule encoder:
    input:
        annotations=annotations("primary"),
        vocabulary=f"{ROOT}/vocabulary/primary.json",
    output:
        f"{ROOT}/encoder/model.safetensors",
    log:
        f"{ROOT}/logs/encoder.log",
    benchmark:
        f"{ROOT}/benchmarks/encoder.tsv"
    conda:
        ENVIRONMENT
    threads: encoder_threads()
    params:
        code=code_digest("rdt.commands.encoder"),
        settings=setting(EXPERIMENT.encoder and asdict(EXPERIMENT.encoder)),
    message:
        "train the encoder"
    shell:
        rdt("encoder EXPERIMENT")


rule features:
    input:
        feature_inputs,
    output:
        expand(
            f"{ROOT}/features/{{{{role}}}}/{{name}}.npy",
            name=[Path(path).stem for path in store("primary")],
        ),
    log:
        f"{ROOT}/logs/features_{{role}}.log",
    benchmark:
        f"{ROOT}/benchmarks/features_{{role}}.tsv"
    conda:
        ENVIRONMENT
    threads: encoder_threads()
    params:
        code=code_digest("rdt.commands.features"),
        settings=lambda wildcards: setting(
            data_configuration(EXPERIMENT, wildcards.role)
        ),
    message:
        "features of {wildcards.role}"
    shell:
        rdt("features EXPERIMENT --role {wildcards.role}")


rule probe:
    input:
        store("primary"),
        layout=f"{ROOT}/data/primary/layout.npz",
    output:
        f"{ROOT}/encoder/probe.json",
    log:
        f"{ROOT}/logs/probe.log",
    benchmark:
        f"{ROOT}/benchmarks/probe.tsv"
    conda:
        ENVIRONMENT
    params:
        code=code_digest("rdt.commands.probe"),
    message:
        "probe the features"
    shell:
        rdt("probe EXPERIMENT")


rule index:
    input:
        lambda wildcards: [*store(wildcards.role), *store(pool_role(wildcards.role))],
        pool=lambda wildcards: annotations(pool_role(wildcards.role)),
    output:
        f"{ROOT}/index/{{role}}/retrieved.npz",
        f"{ROOT}/index/{{role}}/pool.txt",
    log:
        f"{ROOT}/logs/index_{{role}}.log",
    benchmark:
        f"{ROOT}/benchmarks/index_{{role}}.tsv"
    conda:
        ENVIRONMENT
    params:
        code=code_digest("rdt.commands.index"),
        settings=setting(EXPERIMENT.method.retrieved, EXPERIMENT.method.exclude_own),
    message:
        "retrieve sentences for {wildcards.role}"
    shell:
        rdt("index EXPERIMENT --role {wildcards.role}")
