rule collect:
    output:
        touch("work/todo/collect/{env}/{datasets}"),
    log:
        "logs/collect/{env}-{datasets}.log",
    benchmark:
        "logs/benchmarks/collect/{env}-{datasets}.tsv"
    conda:
        "../envs/dac.yaml"
    threads: 1  # networks this small; another number rounds sums, and so the data, differently
    resources:
        mem_mb=8000,
        runtime=24 * 60,
    params:
        dac=DAC,
    message:
        "Collect data in {wildcards.env}: train SAC and record it"
    shell:
        "{params.dac} collect {wildcards.env} --datasets {wildcards.datasets} >> {log:q} 2> >(tee -a {log:q} >&2)"


rule fetch:
    output:
        touch("work/todo/fetch/{d4rl_id}"),
    log:
        "logs/fetch/{d4rl_id}.log",
    benchmark:
        "logs/benchmarks/fetch/{d4rl_id}.tsv"
    conda:
        "../envs/dac.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=120,
    params:
        dac=DAC,
    message:
        "Download {wildcards.d4rl_id} and check its sha256"
    shell:
        "{params.dac} fetch {wildcards.d4rl_id} >> {log:q} 2> >(tee -a {log:q} >&2)"
