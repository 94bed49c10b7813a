#!/bin/sh
# keep_log.sh LOG: have a job's log go on where its earlier attempts ended.
#
# Snakemake deletes a log's name before it starts the job. The lines stay under another name of the file.
set -eu
kept="$1.all"
printf -- '--- attempt of %s on %s\n' "$(date '+%Y-%m-%d %H:%M:%S')" "$(uname -n)" >> "$kept"
ln "$kept" "$1" 2> /dev/null || ln -s "${kept##*/}" "$1" 2> /dev/null || :
