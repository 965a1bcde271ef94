# Training: `dras train` with PyTorch. A command, no service; cases and runs lie in /data.
# PyTorch is not in the lock: its builds for CUDA and for processors have one name. TORCH chooses the version, and
# PIP_OPTIONS the index to take it from.
ARG BASE=debian:bookworm-20250520-slim

FROM ${BASE} AS build
ARG PIP_OPTIONS=""
ARG TORCH=torch==2.13.0
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY deploy/requirements/build.txt deploy/requirements/training.txt deploy/requirements/
RUN python3 -m venv /opt/build \
    && python3 -m venv --without-pip /opt/dras \
    && /opt/build/bin/pip install ${PIP_OPTIONS} --no-cache-dir --require-hashes -r deploy/requirements/build.txt \
    && /opt/build/bin/pip --python /opt/dras/bin/python install ${PIP_OPTIONS} --no-cache-dir --require-hashes \
        -r deploy/requirements/training.txt \
    && /opt/build/bin/pip --python /opt/dras/bin/python install ${PIP_OPTIONS} --no-cache-dir "${TORCH}"
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
    DRAS_LIBRARY=/data/library \
    MPLCONFIGDIR=/tmp/matplotlib
USER 10001
VOLUME /data
HEALTHCHECK NONE
ENTRYPOINT ["tini", "--"]
CMD ["dras", "train", "--help"]
