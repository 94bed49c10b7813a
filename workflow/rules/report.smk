rule report:
    input:
        waits_for(lambda wildcards: PENDING.runs(wildcards.study)),
    output:
        touch(TODO + "/report/{study}/{key}"),
    log:
        "logs/report/{study}-{key}.log",
    benchmark:
        "logs/benchmarks/report/{study}-{key}.tsv"
    localrule: True
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        keep_log=lambda wildcards: KEEP_LOG,
        dac=lambda wildcards: DAC,
    message:
        "Write the tables, figures and page of the study {wildcards.study}"
    shell:
        "{params.keep_log} {log:q}; {params.dac} report {wildcards.study} --plan {wildcards.key}"
        " >> {log:q} 2> >(trap '' INT TERM; exec tee -a {log:q} >&2)"
