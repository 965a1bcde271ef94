#!/bin/sh
# Takes out of a virtual environment what no run of the product touches: libraries' own tests and headers, symbols of
# debuggers, and Arrow's ways to other stores. `make images-check` takes a study through what is left.
set -eu
packages=$(echo "$1"/lib/python3.*/site-packages)
find "$packages" -type d \( -name tests -o -name test -o -name include \) -prune -exec rm -rf {} +
find "$packages" -type f \( -name '*.pxd' -o -name '*.pyx' -o -name '*.a' -o -name '*.h' \) -delete
for part in flight s3 s3fs; do
    find "$packages/pyarrow" \( -name "libarrow_$part.*" -o -name "_$part.*" \) -delete
done
# Not what auditwheel has put into *.libs: stripped, it cannot be loaded any more.
find "$packages" -path '*.libs' -prune -o -type f -name '*.so*' -exec strip --strip-unneeded {} +
