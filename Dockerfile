# docs/cluster.md: a small complete study on the CPU, in an image that is made of published packages alone.
#
#   docker build --tag dac .
#   docker run --rm --volume "$PWD/results:/dac/results" dac
FROM python:3.11-slim-bookworm
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc git libc6-dev libosmesa6 make \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /dac
COPY . .
RUN PIP_NO_CACHE_DIR=1 make setup
CMD ["make", "quick"]
