rule collect:
    output:
        touch("work/todo/collect/{env}/{datasets}"),
    params:
        dac=DAC,
    log:
        "logs/collect/{env}-{datasets}.log",
    benchmark:
        "logs/benchmarks/collect/{env}-{datasets}.tsv"
    threads: PARAMS.compute.threads_per_job
    resources:
        mem_mb=8000,
        runtime=24 * 60,
    conda:
        "../envs/dac.yaml"
    message:
        "Collect data in {wildcards.env}: train SAC and record it"
    shell:
        "{params.dac} collect {wildcards.env} --datasets {wildcards.datasets} --threads {threads} >> {log:q} 2> >(tee -a {log:q} >&2)"


rule fetch:
    output:
        touch("work/todo/fetch/{d4rl_id}"),
    params:
        dac=DAC,
    log:
        "logs/fetch/{d4rl_id}.log",
    benchmark:
        "logs/benchmarks/fetch/{d4rl_id}.tsv"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=120,
    conda:
        "../envs/dac.yaml"
    message:
        "Download {wildcards.d4rl_id} and check its sha256"
    shell:
        "{params.dac} fetch {wildcards.d4rl_id} >> {log:q} 2> >(tee -a {log:q} >&2)"
