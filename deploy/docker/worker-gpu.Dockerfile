# A worker that computes on NVIDIA GPUs: CUDA and cuDNN come from the lock, the driver from the machine, by way of
# NVIDIA's container toolkit (CUDA 13: driver 580 or later).
# Runs with a read-only root: /data is its only volume, /tmp a tmpfs. docs/deployment.md says how.
ARG BASE=debian:bookworm-20250520-slim

FROM ${BASE} AS build
ARG PIP_OPTIONS=""
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends binutils python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY deploy/requirements/build.txt deploy/requirements/worker-gpu.txt deploy/requirements/
RUN python3 -m venv /opt/build \
    && python3 -m venv --without-pip /opt/dras \
    && /opt/build/bin/pip install ${PIP_OPTIONS} --no-cache-dir --require-hashes -r deploy/requirements/build.txt \
    && /opt/build/bin/pip --python /opt/dras/bin/python install ${PIP_OPTIONS} --no-cache-dir --no-compile \
        --require-hashes -r deploy/requirements/worker-gpu.txt
COPY deploy/docker/slim.sh deploy/docker/pack_relocations.py deploy/docker/rehearse.sh deploy/docker/
RUN sh deploy/docker/slim.sh /opt/dras
COPY pyproject.toml README.md LICENSE ./
COPY model model
COPY service service
COPY training training
RUN /opt/build/bin/pip --python /opt/build/bin/python wheel --no-deps --no-build-isolation --wheel-dir /tmp/wheel . \
    && /opt/build/bin/pip --python /opt/dras/bin/python install --no-cache-dir --no-deps --no-index /tmp/wheel/dras-*.whl
# On a processor; workers prove the bundle on their GPU.
RUN sh deploy/docker/rehearse.sh /opt/dras

FROM ${BASE}
# Security updates of the base's release are wanted, so Debian's packages are not pinned beyond it.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3 tini \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --home-dir /data --create-home --shell /usr/sbin/nologin dras
COPY --from=build /opt/dras /opt/dras
# ONNX Runtime finds the libraries of the wheels by the loader's own list.
RUN find /opt/dras -type d -path '*/nvidia/*' -name lib -fprint /etc/ld.so.conf.d/nvidia.conf && ldconfig
ENV PATH=/opt/dras/bin:$PATH \
    DRAS_DATA=/data \
    DRAS_LIBRARY=/opt/dras/library \
    MPLCONFIGDIR=/tmp/matplotlib \
    DRAS_WORKER__DEVICE=cuda \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 10001
VOLUME /data
# It signs a row of the database every ten seconds.
HEALTHCHECK --interval=60s --timeout=20s --start-period=120s --retries=3 \
    CMD ["python", "-m", "dras_service.worker.alive"]
ENTRYPOINT ["tini", "--"]
CMD ["python", "-m", "dras_service.worker"]
