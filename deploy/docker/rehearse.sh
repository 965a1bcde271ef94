#!/bin/sh
# Takes a phantom through all that a run writes, with packages that pip has not compiled: what is imported is compiled
# by it, and nothing else (decision 0085). Where it fails there is no image. The built-in atlas and bundle are made
# by it, once: every worker of the image has the same.
set -eu
export PATH="$1/bin:$PATH" DRAS_LIBRARY="$1/library" MPLCONFIGDIR=/tmp/matplotlib
room=$(mktemp -d)
python -m dras_service.worker.selftest
dras phantom "$room/study" --slices 64 --matrix 96 --emphysema 0.1
dras extract "$room/study" --dicom --view --out "$room/result"
dras export "$room/result" --source "$room/study" --out "$room/forms" \
    --to csv,parquet,npz,zarr,masks,feature-map,report,sr,seg,map
# Pairs, and the service with what it talks to.
python -c 'import kombu.transport.redis, obstore, psycopg
import dras_model.paired
import dras_service.gateway.app, dras_service.observability.tracing, dras_service.pacs.receive.listener
import dras_service.worker.__main__, dras_service.worker.tasks'
rm -rf "$room"
