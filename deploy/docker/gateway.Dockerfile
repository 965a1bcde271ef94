# The gateway: HTTP in front of database, blobs and broker. It reads headers and computes nothing.
# `dras pacs listen` runs from it, too: a DICOM node beside a PACS.
# Runs with a read-only root: /data is its only volume, /tmp a tmpfs. docs/deployment.md says how.
ARG BASE=debian:bookworm-20250520-slim

FROM ${BASE} AS build
ARG PIP_OPTIONS=""
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY deploy/requirements/build.txt deploy/requirements/gateway.txt deploy/requirements/
RUN python3 -m venv /opt/build \
    && python3 -m venv --without-pip /opt/dras \
    && /opt/build/bin/pip install ${PIP_OPTIONS} --no-cache-dir --require-hashes -r deploy/requirements/build.txt \
    && /opt/build/bin/pip --python /opt/dras/bin/python install ${PIP_OPTIONS} --no-cache-dir --require-hashes \
        -r deploy/requirements/gateway.txt
COPY pyproject.toml README.md LICENSE ./
COPY model model
COPY service service
COPY training training
RUN /opt/build/bin/pip --python /opt/build/bin/python wheel --no-deps --no-build-isolation --wheel-dir /tmp/wheel . \
    && /opt/build/bin/pip --python /opt/dras/bin/python install --no-cache-dir --no-deps --no-index /tmp/wheel/dras-*.whl

FROM ${BASE}
# Security updates of the base's release are wanted, so Debian's packages are not pinned beyond it.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3 tini \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --home-dir /data --create-home --shell /usr/sbin/nologin dras
COPY --from=build /opt/dras /opt/dras
ENV PATH=/opt/dras/bin:$PATH \
    DRAS_DATA=/data \
    DRAS_GATEWAY__HOST=0.0.0.0 \
    DRAS_GATEWAY__PORT=8042 \
    DRAS_AUTHENTICATION__REQUIRED=true
USER 10001
VOLUME /data
EXPOSE 8042 11112
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as u; \
u.urlopen(f'http://127.0.0.1:{os.environ[\"DRAS_GATEWAY__PORT\"]}/healthz', timeout=4)"]
ENTRYPOINT ["tini", "--"]
CMD ["dras", "serve", "--no-worker"]
