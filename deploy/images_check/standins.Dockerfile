# Debian's Redis and PostgreSQL in the place of the registry's images: for `make images-check`, and nothing else.
ARG BASE=debian:bookworm-20250520-slim
FROM ${BASE}
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends redis-server postgresql \
    && rm -rf /var/lib/apt/lists/*
ENV PATH=/usr/lib/postgresql/15/bin:$PATH
# Debian gives it its number.
# hadolint ignore=DL3066
USER postgres
