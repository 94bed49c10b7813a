rule collect:
    output:
        touch(TODO + "/collect/{env}/{datasets}"),
    log:
        "logs/collect/{env}-{datasets}.log",
    benchmark:
        "logs/benchmarks/collect/{env}-{datasets}.tsv"
    threads: 1  # networks this small; another number rounds sums, and so the data, differently
    resources:
        mem_mb=memory(demand_of_collection),
        runtime=minutes(demand_of_collection),
    params:
        keep_log=lambda wildcards: KEEP_LOG,
        dac=lambda wildcards: DAC,
    message:
        "Collect data in {wildcards.env}"
    shell:
        "{params.keep_log} {log:q}; {params.dac} collect {wildcards.env} --datasets {wildcards.datasets}"
        " >> {log:q} 2> >(trap '' INT TERM; exec tee -a {log:q} >&2)"


rule fetch:
    output:
        touch(TODO + "/fetch/{task}/{key}"),
    log:
        "logs/fetch/{task}-{key}.log",
    benchmark:
        "logs/benchmarks/fetch/{task}-{key}.tsv"
    # Compute nodes often see no network.
    localrule: True
    threads: 1
    resources:
        mem_mb=8000,
        runtime=240,
    params:
        keep_log=lambda wildcards: KEEP_LOG,
        dac=lambda wildcards: DAC,
    message:
        "Download the data of {wildcards.task}, check and convert them"
    shell:
        "{params.keep_log} {log:q}; {params.dac} fetch {wildcards.task} --dataset {wildcards.key}"
        " >> {log:q} 2> >(trap '' INT TERM; exec tee -a {log:q} >&2)"
