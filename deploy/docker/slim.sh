#!/bin/sh
# Takes out of a virtual environment what no run of the product touches, and writes what is left once. Every line has
# its reason in decision 0085; `rehearse.sh` takes a study through what is left.
set -eu
packages=$(echo "$1"/lib/python3.*/site-packages)
# Libraries' own tests, headers, and what they were generated and compiled from.
find "$packages" -type d \( -name tests -o -name test -o -name include \) -prune -exec rm -rf {} +
find "$packages" -type f \( -name '*.pxd' -o -name '*.pyx' -o -name '*.pyi' -o -name '*.a' -o -name '*.h' \
    -o -name '*.pxi' -o -name '*.c' -o -name '*.cc' -o -name '*.cpp' \) -delete
rm -rf "$packages/pydicom/data/test_files"
# Arrow's ways to other stores.
for part in flight s3 s3fs; do
    find "$packages/pyarrow" \( -name "libarrow_$part.*" -o -name "_$part.*" \) -delete
done
# ONNX Runtime for programs in C: Python's module has a copy of its own linked in. What prepares models for it.
find "$packages/onnxruntime/capi" -name 'libonnxruntime.so*' -delete
rm -rf "$packages/onnxruntime/transformers" "$packages/onnxruntime/quantization" "$packages/onnxruntime/tools"
# GDCM's programs and their descriptions of the standard; Pillow's reader of AVIF.
rm -rf "$packages/_gdcm/XML"
find "$packages/_gdcm" -type f -name 'gdcm*' ! -name '*.py' ! -name '*.so*' -delete
rm -f "$packages"/PIL/_avif.* "$packages"/pillow.libs/libavif-*
# NumPy's tests in C; matplotlib's examples, and the metrics of fonts that are in no file.
rm -f "$packages"/numpy/_core/_*_tests.* "$packages"/numpy/_core/_simd.*
rm -rf "$packages"/matplotlib/mpl-data/sample_data "$packages"/matplotlib/mpl-data/fonts/afm \
    "$packages"/matplotlib/mpl-data/fonts/pdfcorefonts
# Spaces between the words of highdicom's table of the standard.
for table in "$packages"/highdicom/_standard/*.json; do
    "$1/bin/python" -c 'import json, pathlib, sys
table = pathlib.Path(sys.argv[1])
table.write_text(json.dumps(json.loads(table.read_text("utf-8")), separators=(",", ":")), "utf-8")' "$table"
done
# Symbols for debuggers. Not of what auditwheel has put into *.libs: stripped, it cannot be loaded any more.
find "$packages" -path '*.libs' -prune -o -type f -name '*.so*' -exec strip --strip-unneeded {} +
# A wheel holds no links: a library that has three names, or that two wheels bring, is there as often.
find "$packages" -type f -name '*.so*' -exec sha256sum {} + | sort | while read -r hash file; do
    if [ "$hash" = "${last:-}" ]; then
        ln -srf "$kept" "$file"
    else
        last=$hash kept=$file
    fi
done
"$1/bin/python" "${0%/*}/pack_relocations.py" "$packages"
