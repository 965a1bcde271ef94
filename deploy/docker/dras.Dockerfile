# One image for the embedded default: gateway and worker in one container, SQLite and a folder under /data.
ARG BASE=debian:12-slim
FROM ${BASE} AS build
RUN apt-get update && apt-get install -y --no-install-recommends python3 python3-venv && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY model model
COPY service service
COPY training training
RUN python3 -m venv /opt/dras && /opt/dras/bin/pip install --no-cache-dir --disable-pip-version-check ".[cpu,service]"

FROM ${BASE}
RUN apt-get update && apt-get install -y --no-install-recommends python3 && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /data --create-home dras
COPY --from=build /opt/dras /opt/dras
ENV PATH=/opt/dras/bin:$PATH DRAS_DATA=/data DRAS_LIBRARY=/data/library
USER dras
VOLUME /data
ENTRYPOINT ["dras"]
CMD ["serve"]
